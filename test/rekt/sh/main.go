// Command sh stands for the shell of the image in which Knative's suites ask a service whether it is ready: it finds the URL in what it is
// told to run, and asks there until it is answered with success.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	for _, word := range strings.Fields(strings.Join(os.Args[1:], " ")) {
		if !strings.HasPrefix(word, "http://") {
			continue
		}
		client := &http.Client{Timeout: 2 * time.Second}
		for range 60 {
			if answers(client, word) {
				return
			}
			time.Sleep(time.Second)
		}
		break
	}
	fmt.Fprintln(os.Stderr, "nothing answers")
	os.Exit(1)
}

func answers(client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil) //nolint:gosec // who runs it says where to ask
	if err != nil {
		return false
	}
	response, err := client.Do(request) //nolint:gosec // the same
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode < http.StatusBadRequest
}
