package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/line"
)

// checkURL refuses what nothing can be posted to.
func checkURL(name, value string) error {
	if u, err := url.Parse(value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usageError(fmt.Sprintf("%s: %q is no URL such as http://localhost:8080", name, value))
	}
	return nil
}

// postTo posts an event to the sink, whose answer it tells.
func (f *doctorFlags) postTo(ctx context.Context, r *report) {
	const name = "sink"
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // as the source does
	began := time.Now()
	response, err := post(ctx, client, f.sink, doctorEvent())
	if err != nil {
		r.fail(name, err, adviseOnNoAnswer(err))
		return
	}
	defer response.Body.Close()
	if response.StatusCode/100 == http.StatusOK/100 {
		r.ok(name, "%s accepts an event: %s after %s", f.sink, response.Status, time.Since(began).Round(time.Millisecond/10))
		return
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxReason))
	err = fmt.Errorf("%s answers %s", f.sink, response.Status)
	if reason := line.First(string(body), maxReason, "…"); reason != "" {
		err = fmt.Errorf("%w: %s", err, reason)
	}
	r.fail(name, err, adviseOnStatus(response.StatusCode))
}

// adviseOnNoAnswer says what to change where a sink cannot be asked.
func adviseOnNoAnswer(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "the host has no address: in a cluster the name is that of a Service, as service.namespace.svc.cluster.local"
	case errors.Is(err, context.DeadlineExceeded):
		return "the sink, or a NetworkPolicy before it, answers nothing: look whether its pods are ready"
	case strings.Contains(err.Error(), "x509: "), strings.Contains(err.Error(), "tls: "):
		return "the certificate is not one that this machine trusts: the source trusts those of K_CA_CERTS and of Knative's trust bundles as well"
	default:
		return "nobody listens there: check host and port, and whether the sink's pods are ready"
	}
}

// adviseOnStatus says what the answer of a sink means to the source.
func adviseOnStatus(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "the sink wants a token, or lets this sender not in; the source sends the token of its SinkBinding where Knative's authentication-oidc is on"
	case http.StatusNotFound:
		return "nothing takes events at this path: a Broker has /NAMESPACE/NAME, this project's sink /topics/TOPIC"
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusBadRequest:
		return "what listens there takes no CloudEvents by POST"
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "the sink takes no events at the moment: the source keeps them and tries again"
	}
	switch {
	case status/100 == http.StatusMultipleChoices/100:
		return "the source follows no redirects: use the URL that it leads to"
	case status >= http.StatusInternalServerError:
		return "look into the sink's log"
	default:
		return "the source gives up events that are answered so"
	}
}
