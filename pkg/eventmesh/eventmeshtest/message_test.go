package eventmeshtest_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/grpc/eventmeshpb"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func messageProtocol(desc string) map[string]any {
	p := protocol(desc)
	p["protocoltype"] = "eventmeshmessage"
	return p
}

// ownMessage is one of EventMesh's own protocol, as it stands in a frame.
type ownMessage struct {
	Topic, Body         string
	Properties, Headers map[string]string
}

// wantMessage waits for one, and leaves of its properties those that EventMesh has not added.
func (c *tcpClient) wantMessage() ownMessage {
	c.t.Helper()
	f := c.want(frame.AsyncMessageToClient, 0)
	if got := f.Header.Properties["protocoltype"]; got != "eventmeshmessage" {
		c.t.Errorf("got protocoltype %v, want eventmeshmessage", got)
	}
	var m ownMessage
	if err := json.Unmarshal(f.Body, &m); err != nil {
		c.t.Fatalf("reading a message: %v: %s", err, f.Body)
	}
	maps.DeleteFunc(m.Properties, func(name, _ string) bool {
		return strings.HasPrefix(name, "req") || strings.HasPrefix(name, "rsp0") || strings.HasPrefix(name, "protocol")
	})
	return m
}

func TestMessageOverTCP(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	sub := cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	for name, test := range map[string]struct {
		body                string
		header              map[string]any
		wantBody            string
		properties, headers map[string]string
	}{
		"all": {
			body:     `{"topic":"T","properties":{"ttl":"4000","k":"v"},"headers":{"datacontenttype":"text/plain","other":"x"},"body":"ü😀\u0000"}`,
			wantBody: "ü😀\x00", properties: map[string]string{"ttl": "4000", "k": "v"}, headers: map[string]string{"datacontenttype": "text/plain"},
		},
		"only a topic and a body":    {body: `{"topic":"T","body":"hi"}`, wantBody: "hi"},
		"unknown fields":             {body: `{"topic":"T","body":"hi","content":{}} and more`, wantBody: "hi"},
		"empty":                      {body: `{"topic":"T","body":""}`},
		"numbers are text":           {body: `{"topic":"T","properties":{"a":2.50,"b":true},"body":1.0}`, wantBody: "1.0", properties: map[string]string{"a": "2.50", "b": "true"}},
		"a property without a name":  {body: `{"topic":"T","properties":{"":"v"},"body":"hi"}`, wantBody: "hi", properties: map[string]string{"": "v"}},
		"content type is null":       {body: `{"topic":"T","headers":{"datacontenttype":null},"body":"hi"}`, wantBody: "hi"},
		"content type is blank":      {body: `{"topic":"T","headers":{"datacontenttype":" "},"body":"hi"}`, wantBody: "hi"},
		"content type as a property": {body: `{"topic":"T","properties":{"datacontenttype":"a/b"},"body":"hi"}`, wantBody: "hi", headers: map[string]string{"datacontenttype": "a/b"}},
		"own properties win": {
			body: `{"topic":"T","properties":{"a":"own"},"body":"hi"}`, header: map[string]any{"a": "header", "b": 5}, wantBody: "hi",
			properties: map[string]string{"a": "own", "b": "5"},
		},
		"attributes' names": {
			body:     `{"topic":"x","properties":{"subject":"T","id":"i","source":"s","type":"t","time":"2026-01-02T03:04:05Z","dataschema":"d","data":"kept"},"body":"hi"}`,
			wantBody: "hi", properties: map[string]string{"data": "kept"},
		},
		"version 0.3": {body: `{"topic":"T","body":"hi"}`, header: map[string]any{"protocolversion": "0.3"}, wantBody: "hi"},
		"credentials": {
			body: `{"topic":"T","properties":{"username":"u","passwd":"p"},"body":"hi"}`, wantBody: "hi",
			properties: map[string]string{"username": "u", "passwd": "p"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			header := messageProtocol("tcp")
			maps.Copy(header, test.header)
			if f := c.publish(test.body, header); f.Header.Code != 0 {
				t.Fatalf("publishing: got code %d (%s)", f.Header.Code, f.Header.Desc)
			}
			got := sub.wantMessage()
			if got.Topic != "T" || got.Body != test.wantBody || !maps.Equal(got.Properties, test.properties) || !maps.Equal(got.Headers, test.headers) {
				t.Errorf("got %+v, want body %q, properties %v, headers %v", got, test.wantBody, test.properties, test.headers)
			}
		})
	}
}

func TestMessageOverTCPIsRefused(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	for name, test := range map[string]struct {
		body   string
		header map[string]any
	}{
		"no JSON":                    {body: `{`},
		"no object":                  {body: `[]`},
		"null":                       {body: `null`},
		"nothing":                    {},
		"a CloudEvent":               {body: structured("T", "1", "1")},
		"no topic":                   {body: `{"body":"x"}`},
		"empty topic":                {body: `{"topic":"","body":"x"}`},
		"topic without a subscriber": {body: `{"topic":"nobody","body":"x"}`},
		"topic from a property":      {body: `{"topic":"T","properties":{"subject":"nobody"},"body":"x"}`},
		"no body":                    {body: `{"topic":"T"}`},
		"body is null":               {body: `{"topic":"T","body":null}`},
		"body is an object":          {body: `{"topic":"T","body":{}}`},
		"body is a list":             {body: `{"topic":"T","body":["x"]}`},
		"1,001 characters":           {body: `{"topic":"T","body":"` + strings.Repeat("x", 1001) + `"}`},
		"properties are null":        {body: `{"topic":"T","properties":null,"body":"x"}`},
		"properties are a list":      {body: `{"topic":"T","properties":[],"body":"x"}`},
		"property is null":           {body: `{"topic":"T","properties":{"a":null},"body":"x"}`},
		"property is an object":      {body: `{"topic":"T","properties":{"a":{}},"body":"x"}`},
		"property in upper case":     {body: `{"topic":"T","properties":{"aB":"x"},"body":"x"}`},
		"property with a dash":       {body: `{"topic":"T","properties":{"a-b":"x"},"body":"x"}`},
		"property specversion":       {body: `{"topic":"T","properties":{"specversion":"1.0"},"body":"x"}`},
		"property time":              {body: `{"topic":"T","properties":{"time":"now"},"body":"x"}`},
		"headers are null":           {body: `{"topic":"T","headers":null,"body":"x"}`},
		"header property with dash":  {body: `{"topic":"T","body":"x"}`, header: map[string]any{"a-b": "x"}},
		"no protocoldesc":            {body: `{"topic":"T","body":"x"}`, header: map[string]any{"protocoldesc": ""}},
		"unknown version":            {body: `{"topic":"T","body":"x"}`, header: map[string]any{"protocolversion": "2.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			header := messageProtocol("tcp")
			maps.Copy(header, test.header)
			if f := c.publish(test.body, header); f.Header.Code != 1 {
				t.Errorf("got code %d (%s), want 1", f.Header.Code, f.Header.Desc)
			}
		})
	}
}

func TestMessageOverGRPC(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	st := c.subscribe("g", "G")
	for name, test := range map[string]struct {
		attributes               []string
		wantID, wantSource, kind string
	}{
		"plain":                        {nil, "1", "/", "org.apache.eventmesh"},
		"no sequence number":           {[]string{"seqnum", ""}, "1", "/", "org.apache.eventmesh"},
		"no protocolversion":           {[]string{"protocolversion", ""}, "1", "/", "org.apache.eventmesh"},
		"properties become attributes": {[]string{"id", "i", "source", "s", "type", "t"}, "i", "s", "t"},
		"an attribute without a name":  {[]string{"", "v"}, "1", "/", "org.apache.eventmesh"},
	} {
		t.Run(name, func(t *testing.T) {
			e := publication("G", "1", append([]string{"protocoltype", "eventmeshmessage", "k", "v"}, test.attributes...)...)
			e.Source, e.Type = "/", "org.apache.eventmesh"
			c.mustPublish(e)
			got := st.want(test.wantID)
			if got.GetSource() != test.wantSource || got.GetType() != test.kind || got.GetTextData() != "1" ||
				got.GetAttributes()["k"].GetCeString() != "v" || got.GetAttributes()["passwd"].GetCeString() != "p" {
				t.Errorf("got %s, want it with all attributes", got)
			}
		})
	}
	for name, test := range map[string]struct {
		attributes []string
		want       string
	}{
		"no unique id":           {[]string{"uniqueid", ""}, "7"},
		"no ttl":                 {[]string{"ttl", ""}, "7"},
		"no producer group":      {[]string{"producergroup", ""}, "7"},
		"no topic":               {[]string{"subject", ""}, "7"},
		"text without a type":    {[]string{"datacontenttype", ""}, "7"},
		"property specversion":   {[]string{"specversion", "1.0"}, "14"},
		"property time":          {[]string{"time", "now"}, "14"},
		"property in upper case": {[]string{"aB", "v"}, "14"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := statusOf(c.publish(publication("G", "1", append([]string{"protocoltype", "eventmeshmessage"}, test.attributes...)...))); got != test.want {
				t.Errorf("got code %s, want %s", got, test.want)
			}
		})
	}
}

func TestDataSchemaIsURIOverGRPC(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	c := dialGRPC(t, s)
	st := c.subscribe("g", "G")
	c.mustPublish(publication("G", "1", "dataschema", "http://x/y"))
	c.mustPublish(publication("G", "2", "dataschema", "x/y:z"))
	if got := st.want("1").GetAttributes()["dataschema"]; got.GetCeUri() != "http://x/y" {
		t.Errorf("got %v, want a URI", got)
	}
	if got := st.want("2").GetAttributes()["dataschema"]; got.GetCeUriRef() != "x/y:z" {
		t.Errorf("got %v, want a URI reference", got)
	}
}

func TestMessageCrosswise(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	g, p := dialGRPC(t, s), publisherTCP(t, s)
	grpcSub, tcpSub := g.subscribe("g", "G"), cluster(t, s, "g", "T")

	e := publication("T", "1", "protocoltype", "eventmeshmessage", "protocoldesc", "tcp")
	e.Attributes["n"] = integer(5)
	g.mustPublish(e)
	if got := tcpSub.wantMessage(); got.Body != "1" || got.Headers["datacontenttype"] != "text/plain" || got.Properties["n"] != "5" ||
		got.Properties["uniqueid"] != "1" || got.Properties["passwd"] != "p" {
		t.Errorf("gRPC to TCP: got %+v", got)
	}

	p.send(frame.AsyncMessageToServer, "seq", `{"topic":"G","properties":{"k":"v"},"body":"hi"}`, messageProtocol("grpc-cloud-event"))
	p.want(frame.AsyncMessageToServerAck, 0)
	got := grpcSub.want("seq")
	if got.GetSource() != "/" || got.GetType() != "eventmeshmessage" || string(got.GetBinaryData()) != "hi" || got.GetAttributes()["k"].GetCeString() != "v" {
		t.Errorf("TCP to gRPC: got %s", got)
	}

	p.publish(`{"topic":"G","body":"lost"}`, messageProtocol("tcp"))
	grpcSub.wantNone()
	for _, desc := range []string{"grpc-cloud-event", "http"} {
		p.publish(`{"topic":"T","body":"lost"}`, messageProtocol(desc))
		tcpSub.want(frame.AsyncMessageToClient, 1)
	}
}

func TestRocketMQRefusesBlankMessages(t *testing.T) {
	s := rocketMQ(t)
	g, p := dialGRPC(t, s), publisherTCP(t, s)
	for _, body := range []string{
		`{"topic":"T","body":""}`,
		`{"topic":"T","properties":{"a":" "},"body":"x"}`,
		`{"topic":"T","properties":{"":"v"},"body":"x"}`,
		`{"topic":"T","headers":{"datacontenttype":""},"body":"x"}`,
	} {
		if f := p.publish(body, messageProtocol("tcp")); f.Header.Code != 1 {
			t.Errorf("%s: got code %d, want 1", body, f.Header.Code)
		}
	}
	for _, blank := range []func(*eventmeshpb.CloudEvent){
		func(e *eventmeshpb.CloudEvent) { e.Id = "" },
		func(e *eventmeshpb.CloudEvent) { e.Source = "" },
		func(e *eventmeshpb.CloudEvent) { e.Type = "" },
		func(e *eventmeshpb.CloudEvent) { e.Attributes["a"] = text("") },
	} {
		e := publication("T", "1", "protocoltype", "eventmeshmessage")
		blank(e)
		if got := statusOf(g.publish(e)); got != "14" {
			t.Errorf("%s: got code %s, want 14", e, got)
		}
	}
}
