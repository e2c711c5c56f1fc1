module example.org/tus/interop

go 1.22

require github.com/bdragon300/tusgo v0.1.2
