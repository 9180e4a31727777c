package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/jsontext"
	"github.com/eventing-eventmesh/eventing-eventmesh/internal/roundtrip"
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

// errEarlierRelease is what an answer of EventMesh 1.x means. It has the same port for HTTP, and another API there.
var errEarlierRelease = fmt.Errorf("%w: EventMesh 1.12, or an earlier one, answers: it takes events over gRPC and TCP", eventmesh.ErrNotConnected)

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

// get makes a request once.
func (s *session) get(ctx context.Context, target string) (answer, error) {
	return s.do(ctx, http.MethodGet, target, nil)
}

// do makes a request. Its error is an ErrNotConnected when EventMesh has not had it, errNoAnswer when nobody can tell, and the context's
// when that has ended before.
func (s *session) do(ctx context.Context, method, target string, body []byte) (answer, error) {
	r := roundtrip.Request{Method: method, Target: target, Header: s.getHeader, Body: body}
	if method == http.MethodPost {
		r.Header = s.postHeader
	}
	a, err := s.client.Do(ctx, s.server, r)
	if err != nil {
		return answer{}, s.failure(ctx, err)
	}
	got := answer{status: a.Status, body: a.Body}
	if got.isOfEarlierRelease() {
		return answer{}, errEarlierRelease
	}
	return got, nil
}

// failure says what it means that there is no answer.
func (s *session) failure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return fmt.Errorf("%w: the session has ended", eventmesh.ErrNotConnected)
	case errors.Is(err, roundtrip.ErrNotConnected):
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

// isOfEarlierRelease tells how EventMesh 1.x refuses what has not its form.
func (a answer) isOfEarlierRelease() bool {
	if a.status != http.StatusBadRequest {
		return false
	}
	_, told := a.member("retCode")
	return told
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
