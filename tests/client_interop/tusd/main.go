// A tusd with uploads on disk, as its command has it by default, without the stores of the clouds.
//
//	tusd DIRECTORY
//
// Listens on a free port of 127.0.0.1 and prints `listening ADDRESS`.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/tus/tusd/v2/pkg/filelocker"
	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
)

func main() {
	composer := handler.NewStoreComposer()
	filestore.New(os.Args[1]).UseIn(composer)
	filelocker.New(os.Args[1]).UseIn(composer)
	uploads, err := handler.NewHandler(handler.Config{BasePath: "/files/", StoreComposer: composer})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/files/", http.StripPrefix("/files/", uploads))
	http.Handle("/files", http.StripPrefix("/files", uploads))
	fmt.Println("listening", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
