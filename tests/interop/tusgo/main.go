// tusgo, uploading one file in one of several ways.
//
//	tusgo WAY ENDPOINT FILE [STATE]
//
// Prints `url URL` when the upload is finished, and ends with 1 if it is not. STATE is the file in which
// `begin` leaves the upload's URL for `resume`.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/bdragon300/tusgo"
)

const mib = 1 << 20

func main() {
	location, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("url", location)
}

func run(args []string) (string, error) {
	if len(args) < 3 {
		return "", errors.New("WAY ENDPOINT FILE [STATE]")
	}
	way, file := args[0], args[2]
	endpoint, err := url.Parse(args[1])
	if err != nil {
		return "", err
	}
	source, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return "", err
	}
	client := tusgo.NewClient(http.DefaultClient, endpoint)
	if _, err := client.UpdateCapabilities(); err != nil {
		return "", err
	}
	upload, err := upload(client, way, source, info.Size(), args[3:])
	if err != nil {
		return "", err
	}
	location, err := endpoint.Parse(upload.Location)
	return location.String(), err
}

func upload(client *tusgo.Client, way string, source *os.File, size int64, state []string) (*tusgo.Upload, error) {
	switch way {
	case "resume":
		return resume(client, source, state[0])
	case "parallel":
		return parallel(client, source, size)
	case "creation":
		return creation(client, source, size)
	}
	upload := &tusgo.Upload{}
	declared := size
	if way == "deferred" {
		declared = tusgo.SizeUnknown
	}
	metadata := map[string]string{"filename": "Übergrößenträger – 上传 📦.bin"}
	if _, err := client.CreateUpload(upload, declared, false, metadata); err != nil {
		return nil, err
	}
	stream := tusgo.NewUploadStream(client, upload)
	stream.ChunkSize = mib
	switch way {
	case "chunks":
	case "single":
		stream.ChunkSize = tusgo.NoChunked
	case "checksum":
		stream = stream.WithChecksumAlgorithm("sha1")
	case "checksum-trailer":
		stream.ChunkSize = tusgo.NoChunked
		stream = stream.WithChecksumAlgorithm("sha256")
	case "deferred":
		stream.SetUploadSize = true
		upload.RemoteSize = size
	case "begin":
		if err := transfer(stream, io.NewSectionReader(source, 0, 2*mib)); err != nil {
			return nil, err
		}
		return upload, os.WriteFile(state[0], []byte(upload.Location), 0o600)
	case "terminate":
		if err := transfer(stream, io.NewSectionReader(source, 0, 2*mib)); err != nil {
			return nil, err
		}
		_, err := client.DeleteUpload(*upload)
		return upload, err
	default:
		return nil, fmt.Errorf("no way %q", way)
	}
	return upload, transfer(stream, source)
}

// transfer sends what the server has not got, again and again until it has all of it.
func transfer(stream *tusgo.UploadStream, source io.ReadSeeker) error {
	for attempt := 0; ; attempt++ {
		err := attemptTransfer(stream, source)
		if err == nil || attempt == 40 {
			return err
		}
		time.Sleep(250 * time.Millisecond)
	}
}

func attemptTransfer(stream *tusgo.UploadStream, source io.ReadSeeker) error {
	// A chunk that failed is sent from where the server is.
	stream.ForceClean()
	if _, err := stream.Sync(); err != nil {
		return err
	}
	if stream.Tell() == stream.Len() && stream.Len() > 0 {
		return nil
	}
	if _, err := source.Seek(stream.Tell(), io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(stream, source)
	return err
}

func resume(client *tusgo.Client, source *os.File, state string) (*tusgo.Upload, error) {
	location, err := os.ReadFile(state)
	if err != nil {
		return nil, err
	}
	upload := &tusgo.Upload{}
	if _, err := client.GetUpload(upload, string(location)); err != nil {
		return nil, err
	}
	if upload.RemoteOffset != 2*mib {
		return nil, fmt.Errorf("begins at %d", upload.RemoteOffset)
	}
	stream := tusgo.NewUploadStream(client, upload)
	return upload, transfer(stream, source)
}

func creation(client *tusgo.Client, source *os.File, size int64) (*tusgo.Upload, error) {
	first := make([]byte, min(size, mib))
	if _, err := io.ReadFull(source, first); err != nil {
		return nil, err
	}
	upload := &tusgo.Upload{}
	if _, _, err := client.CreateUploadWithData(upload, first, size, false, nil); err != nil {
		return nil, err
	}
	return upload, transfer(tusgo.NewUploadStream(client, upload), source)
}

func parallel(client *tusgo.Client, source *os.File, size int64) (*tusgo.Upload, error) {
	const count = 4
	parts := make([]tusgo.Upload, count)
	ends := make(chan error, count)
	for at := range parts {
		begin, end := size*int64(at)/count, size*int64(at+1)/count
		go func() {
			ends <- part(client, &parts[at], io.NewSectionReader(source, begin, end-begin))
		}()
	}
	for range parts {
		if err := <-ends; err != nil {
			return nil, err
		}
	}
	final := &tusgo.Upload{}
	_, err := client.ConcatenateUploads(final, parts, nil)
	return final, err
}

func part(client *tusgo.Client, upload *tusgo.Upload, source *io.SectionReader) error {
	if _, err := client.CreateUpload(upload, source.Size(), true, nil); err != nil {
		return err
	}
	return transfer(tusgo.NewUploadStream(client, upload), source)
}
