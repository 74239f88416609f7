// Command store keeps what it is given in memory, and speaks S3: for backups of systems of the lab.
//
//	store ADDRESS:PORT BUCKET
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "store:", err)
		os.Exit(1)
	}
}

func serve(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("there is `store ADDRESS:PORT BUCKET`")
	}
	memory := s3mem.New()
	if err := memory.CreateBucket(arguments[1]); err != nil {
		return err
	}
	return http.ListenAndServe(arguments[0], gofakes3.New(memory).Server())
}
