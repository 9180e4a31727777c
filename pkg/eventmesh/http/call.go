package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh"
)

// Paths of the API. EventMesh takes whatever begins with one.
const (
	pathPublish     = "/events/publish"
	pathSubscribe   = "/events/subscribe"
	pathUnsubscribe = "/events/unsubscribe"
	pathPoll        = "/events/poll"
	pathAck         = "/events/ack"
	pathRequest     = "/events/request"
	pathReply       = "/events/reply"
)

// errNoAnswer is what a request comes to whose connection EventMesh closes without an answer: it does so when its own code fails, and
// when it ends.
var errNoAnswer = errors.New("EventMesh closed the connection without an answer")

// maxAnswer is how large an answer may be, in bytes: an event of the largest size that EventMesh stores, in base64, has some 22 MiB.
const maxAnswer = 64 << 20

// answer is what came back.
type answer struct {
	status int
	body   []byte
}

// post makes a request, a second time where it gets no answer: a connection may have been closed just before.
func (s *session) post(ctx context.Context, target string, body []byte) (answer, error) {
	a, err := s.do(ctx, http.MethodPost, target, body)
	if errors.Is(err, errNoAnswer) {
		a, err = s.do(ctx, http.MethodPost, target, body)
	}
	return a, err
}

// postJSON makes a request whose body is a value as JSON, and wants an answer of status 200, within answerTimeout.
func (s *session) postJSON(ctx context.Context, path string, value any) (answer, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return answer{}, err
	}
	own, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	a, err := s.post(own, path, body)
	switch {
	case err == nil:
		err = a.expect(http.StatusOK)
	case own.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("%w: no answer", eventmesh.ErrUnconfirmed)
	}
	return a, err
}

// nothing is an empty body for a request that net/http would else make again by itself when it gets no answer.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) Close() error             { return nil }

// get makes a request once.
func (s *session) get(ctx context.Context, target string) (answer, error) {
	return s.do(ctx, http.MethodGet, target, nil)
}

// do makes a request. Its error is an ErrNotConnected when EventMesh has not had it, errNoAnswer when nobody can tell, and the context's
// when that has ended before. It goes without http.Client, which would look for redirects and cookies.
func (s *session) do(ctx context.Context, method, target string, body []byte) (answer, error) {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() //nolint:contextcheck // the session's end ends it, too
	connected := false
	own = httptrace.WithClientTrace(own, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	response, err := s.transport.RoundTrip(s.request(own, method, target, body))
	if err != nil {
		return answer{}, s.failure(ctx, err, connected)
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode}
	if a.body, err = readAll(response); err != nil {
		return answer{}, s.failure(ctx, err, true)
	}
	if len(a.body) > maxAnswer {
		return answer{}, fmt.Errorf("%w: an answer has more than %d bytes", errNoAnswer, maxAnswer)
	}
	return a, nil
}

// request returns one for do.
func (s *session) request(ctx context.Context, method, target string, body []byte) *http.Request {
	path, query, _ := strings.Cut(target, "?")
	r := new(http.Request).WithContext(ctx)
	r.Method, r.Host = method, s.server.Host
	r.URL = &url.URL{Scheme: s.server.Scheme, Host: s.server.Host, Path: path, RawQuery: query}
	if method == http.MethodGet {
		r.Header, r.Body = s.getHeader, nothing{}
		return r
	}
	r.Header, r.ContentLength = s.postHeader, int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	return r
}

// readAll reads the body of an answer, and no more than one byte beyond maxAnswer.
func readAll(response *http.Response) ([]byte, error) {
	const short = 4 << 10
	if n := response.ContentLength; n >= 0 && n <= short {
		body := make([]byte, n)
		_, err := io.ReadFull(response.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
}

// failure says what it means that there is no answer.
func (s *session) failure(ctx context.Context, err error, connected bool) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return fmt.Errorf("%w: the session has ended", eventmesh.ErrNotConnected)
	case !connected:
		return fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, err)
	default:
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
}

// expect returns nil for an answer of a status, and otherwise what another one means.
func (a answer) expect(status int) error {
	if a.status == status {
		return nil
	}
	return &eventmesh.RefusalError{Kind: a.kind(), Code: strconv.Itoa(a.status), Reason: a.reason()}
}

func (a answer) kind() error {
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return eventmesh.ErrUnauthorized
	case http.StatusRequestEntityTooLarge:
		return eventmesh.ErrTooLarge
	case http.StatusTooManyRequests:
		return eventmesh.ErrRateLimited
	case http.StatusGatewayTimeout:
		return eventmesh.ErrUnconfirmed
	default:
		return eventmesh.ErrRefused
	}
}

// reason is the text of EventMesh's errors, and the body of an answer that comes from elsewhere.
func (a answer) reason() string {
	if told, ok := a.member("error"); ok {
		return told
	}
	return string(a.body)
}

// member returns a member of the object that the answer is, as text, if there is one that is not empty.
func (a answer) member(name string) (text string, ok bool) {
	err := jsontext.Members(a.body, func(n, value []byte) error {
		if string(n) == name {
			if text, ok = jsontext.String(value); !ok {
				text = string(value)
			}
		}
		return nil
	})
	return text, err == nil && text != ""
}

// nobody is a client that never subscribes.
const nobody = "eventing-eventmesh-nobody"

// alive returns nil when the server answers as EventMesh does.
func (s *session) alive(ctx context.Context) error {
	a, err := s.get(ctx, pathPoll+"?clientId="+nobody+"&timeoutMs=0&max=1")
	if errors.Is(err, errNoAnswer) {
		a, err = s.get(ctx, pathPoll+"?clientId="+nobody+"&timeoutMs=0&max=1")
	}
	switch {
	case errors.Is(err, errNoAnswer):
		return fmt.Errorf("%w: %w", eventmesh.ErrNotConnected, err)
	case err != nil:
		return err
	case a.status == http.StatusForbidden: // an EventMesh with access control lets nobody ask so
		return nil
	default:
		return a.expect(http.StatusOK)
	}
}
