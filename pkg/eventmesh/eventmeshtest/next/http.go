package next

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest/internal/jackson"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/internal/javauri"
)

// endpoint is what serves the paths that begin with its own.
type endpoint struct {
	path, method string
	// guarded says that tokens are asked for.
	guarded bool
	handle  func(*exchange)
}

var endpoints = []endpoint{ // where one path begins with another, the longer one is first
	{"/events/publish-batch", http.MethodPost, false, (*exchange).publishBatch},
	{"/events/publish", http.MethodPost, true, (*exchange).publish},
	{"/events/subscribe", http.MethodPost, true, (*exchange).subscribe},
	{"/events/unsubscribe", http.MethodPost, false, (*exchange).unsubscribe},
	{"/events/poll", http.MethodGet, true, (*exchange).poll},
	{"/events/ack", http.MethodPost, false, (*exchange).acknowledge},
	{"/events/request", http.MethodPost, true, (*exchange).request},
	{"/events/reply", http.MethodPost, false, (*exchange).reply},
	{"/events/stream", http.MethodGet, false, (*exchange).stream},
	{"/events/lite", "", false, func(x *exchange) {
		x.refuse(http.StatusNotImplemented, "storage does not support lite topic (needs rocketmq5)")
	}},
	{"/agent/", "", false, func(x *exchange) { x.refuse(http.StatusServiceUnavailable, "not configured") }},
	{"/session/", "", false, func(x *exchange) { x.refuse(http.StatusServiceUnavailable, "not configured") }},
}

// exchange is a request and its answer.
type exchange struct {
	s *Server
	w http.ResponseWriter
	r *http.Request
	// running ends with the server. The real one does not notice when its clients have gone, so their contexts are of little use.
	running context.Context //nolint:containedctx // it is the server's
}

func (s *Server) handler(running context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{s: s, w: w, r: r, running: running}
		if !javauri.Valid(r.RequestURI) {
			x.page(http.StatusBadRequest, "URISyntaxException thrown")
			return
		}
		i := slices.IndexFunc(endpoints, func(e endpoint) bool { return strings.HasPrefix(r.URL.Path, e.path) })
		if i < 0 {
			x.page(http.StatusNotFound, "No context found for request")
			return
		}
		switch e := endpoints[i]; {
		case e.method != "" && e.method != r.Method:
			x.refuse(http.StatusMethodNotAllowed, "method not allowed")
		case e.guarded && len(s.options.Tokens) > 0 && !slices.Contains(s.options.Tokens, r.Header.Get("Authorization")):
			x.refuse(http.StatusUnauthorized, "unauthorized")
		default:
			e.handle(x)
		}
	})
}

// page answers as the HTTP server of the JDK does by itself.
func (x *exchange) page(status int, text string) {
	x.w.Header().Set("Content-Type", "text/html")
	x.w.WriteHeader(status)
	_, _ = io.WriteString(x.w, "<h1>"+strconv.Itoa(status)+" "+http.StatusText(status)+"</h1>"+text)
}

// answer answers with JSON. Whether it arrives, nobody knows.
func (x *exchange) answer(status int, body []byte) {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body)
}

// say answers with an object of one member.
func (x *exchange) say(status int, name string, value any) {
	o := jackson.NewObject()
	o.Set(name, value)
	x.answer(status, jackson.Append(nil, o))
}

func (x *exchange) refuse(status int, reason string) {
	x.s.options.Logf("refused %s %s with status %d: %s", x.r.Method, x.r.URL.Path, status, reason)
	x.say(status, "error", reason)
}

// hangUp closes the connection without an answer, which is how the real server fails.
func (x *exchange) hangUp(reason string) {
	x.s.options.Logf("closed the connection of %s %s: %s", x.r.Method, x.r.URL.Path, reason)
	panic(http.ErrAbortHandler)
}

// stall keeps the client waiting for as long as it waits.
func (x *exchange) stall() {
	select {
	case <-x.running.Done():
	case <-x.r.Context().Done():
	}
	x.hangUp("it was stalled")
}

func (x *exchange) body() []byte {
	body, err := io.ReadAll(x.r.Body)
	if err != nil {
		x.hangUp(err.Error())
	}
	return body
}

// parameter returns a parameter of the query, which is decoded twice: as a whole, and each value again.
func (x *exchange) parameter(name string) (value string, ok bool) {
	query, err := url.PathUnescape(x.r.URL.RawQuery)
	if err != nil {
		x.hangUp(err.Error())
	}
	for _, pair := range strings.Split(query, "&") {
		value, found := strings.CutPrefix(pair, name+"=")
		if !found {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			x.hangUp(err.Error())
		}
		return value, true
	}
	return "", false
}

// number returns a parameter that is a number of so many bits.
func (x *exchange) number(name string, otherwise int64, bits int) int64 {
	value, ok := x.parameter(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(value, 10, bits)
	if err != nil {
		x.hangUp(err.Error())
	}
	return n
}

// patience returns the parameter timeoutMs.
func (x *exchange) patience(otherwise int64) time.Duration {
	most := int64(never / time.Millisecond)
	return time.Duration(max(-most, min(most, x.number("timeoutMs", otherwise, 64)))) * time.Millisecond
}

// members returns the body's members as texts, where it is an object.
func (x *exchange) members() map[string]string {
	members := map[string]string{}
	body := x.body()
	if len(strings.TrimSpace(string(body))) == 0 {
		return members
	}
	value, err := parseJSON(body)
	if err != nil {
		x.hangUp(err.Error())
	}
	if o, ok := value.(*jackson.Object); ok {
		for name, value := range o.Values {
			members[name] = text(value)
		}
	}
	return members
}

// text is a value as Jackson's asText returns it.
func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case *jackson.Object, []any:
		return ""
	default:
		return string(jackson.Append(nil, value))
	}
}
