//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// As much as the adapters have: acknowledgements under way at once, connections to publish over, deliveries a poll, and time until a
// subscription is made again.
const (
	httpAcksInFlight    = 8
	httpPublishInFlight = 64
	httpMaxPoll         = 200
	httpRenewAfter      = 15 * time.Second
)

// httpClient makes requests of EventMesh's HTTP API.
type httpClient struct {
	client *http.Client
	url    string
}

func newHTTPClient(url string, inFlight int) httpClient {
	return httpClient{&http.Client{Transport: transportFor(inFlight)}, url}
}

// do makes a request, and returns the body of its answer.
func (c httpClient) do(method, target string, body []byte, status int) ([]byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, c.url+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != status {
		err = fmt.Errorf("%s: status %d: %s", target, response.StatusCode, answer)
	}
	return answer, err
}

// httpReader polls for a topic, and looks for nothing in what comes but the IDs to acknowledge.
type httpReader struct {
	httpClient
	topic, group string
	subscribed   time.Time
}

func readHTTP(url, topic, group string) (*httpReader, error) {
	r := &httpReader{httpClient: newHTTPClient(url, httpAcksInFlight), topic: topic, group: group}
	return r, r.subscribe()
}

func (r *httpReader) subscribe() error {
	body, err := json.Marshal(map[string]string{"clientId": r.group, "topic": r.topic, "mode": "LOAD_BALANCE"})
	if err == nil {
		_, err = r.do(http.MethodPost, "/events/subscribe", body, http.StatusOK)
	}
	r.subscribed = time.Now()
	return err
}

// poll returns an answer that may have deliveries.
func (r *httpReader) poll() ([]byte, error) {
	return r.do(http.MethodGet, fmt.Sprintf("/events/poll?clientId=%s&timeoutMs=2000&max=%d", r.group, httpMaxPoll), nil, http.StatusOK)
}

// read reads so many events, and acknowledges them.
func (r *httpReader) read(n int) error {
	for n > 0 {
		if time.Since(r.subscribed) > httpRenewAfter {
			if err := r.subscribe(); err != nil {
				return err
			}
		}
		answer, err := r.poll()
		if err != nil {
			return err
		}
		ids := deliveryIDs(answer)
		if err := share(len(ids), httpAcksInFlight, func(i int) error {
			_, err := r.do(http.MethodPost, "/events/ack", fmt.Appendf(nil, `{"deliveryId":"%s"}`, ids[i]), http.StatusOK)
			return err
		}); err != nil {
			return err
		}
		n -= len(ids)
	}
	return nil
}

var deliveryID = []byte(`"deliveryId":"`)

// deliveryIDs returns the IDs in the answer to a poll.
func deliveryIDs(answer []byte) (ids [][]byte) {
	for {
		_, after, found := bytes.Cut(answer, deliveryID)
		if !found {
			return ids
		}
		var id []byte
		id, answer, _ = bytes.Cut(after, []byte(`"`))
		ids = append(ids, id)
	}
}

// publishHTTP publishes an event that is encoded.
func publishHTTP(url, topic string) func(body []byte) error {
	c := newHTTPClient(url, httpPublishInFlight)
	return func(body []byte) error {
		_, err := c.do(http.MethodPost, "/events/publish?topic="+topic, body, http.StatusAccepted)
		return err
	}
}
