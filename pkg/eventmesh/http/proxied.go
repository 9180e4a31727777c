package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/roundtrip"
)

// proxied makes requests by a proxy.
type proxied struct {
	ctx       context.Context
	transport *http.Transport
}

// newProxied returns one that lives as long as a context.
func newProxied(ctx context.Context, proxy func(*http.Request) (*url.URL, error), config *tls.Config) *proxied {
	p := &proxied{ctx: ctx, transport: &http.Transport{
		Proxy:                  proxy,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    connectTimeout,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // EventMesh has no HTTP/2
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}}
	context.AfterFunc(ctx, p.transport.CloseIdleConnections)
	return p
}

// nothing is an empty body for a request that net/http would else make again by itself when it gets no answer.
type nothing struct{ io.Reader }

func (nothing) Close() error { return nil }

// Do makes one request.
func (p *proxied) Do(ctx context.Context, to roundtrip.Server, r roundtrip.Request) (roundtrip.Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // its end ends the request, too
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	request, err := http.NewRequestWithContext(ctx, r.Method, to.Scheme+"://"+to.Host+r.Target, nothing{bytes.NewReader(r.Body)})
	if err != nil {
		return roundtrip.Answer{}, fmt.Errorf("%w: %w", roundtrip.ErrNotConnected, err)
	}
	request.Header, request.ContentLength = r.Header.Values(), int64(len(r.Body))
	response, err := p.transport.RoundTrip(request)
	switch {
	case err != nil && !connected:
		return roundtrip.Answer{}, fmt.Errorf("%w: %w", roundtrip.ErrNotConnected, err)
	case err != nil:
		return roundtrip.Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = roundtrip.ErrTooLong
	}
	return roundtrip.Answer{Status: response.StatusCode, Body: body}, err
}
