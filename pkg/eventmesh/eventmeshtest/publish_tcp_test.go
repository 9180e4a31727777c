package eventmeshtest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/eventmeshtest"
	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/eventmesh/tcp/frame"
)

func TestPublishOverTCPChecks(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	valid := structured("T", "1", `{"a":1}`)
	without := func(name string) map[string]any {
		p := protocol("tcp")
		delete(p, name)
		return p
	}
	with := func(name string, value any) map[string]any {
		p := protocol("tcp")
		p[name] = value
		return p
	}
	tests := map[string]struct {
		body       string
		properties map[string]any
		want       int
	}{
		"valid":                       {valid, protocol("tcp"), 0},
		"more properties":             {valid, with("more", 1.5), 0},
		"no protocoltype":             {valid, without("protocoltype"), 1},
		"no protocolversion":          {valid, without("protocolversion"), 1},
		"no protocoldesc":             {valid, without("protocoldesc"), 1},
		"unknown protocoltype":        {valid, with("protocoltype", "foo"), 1},
		"unknown protocolversion":     {valid, with("protocolversion", "2.0"), 1},
		"null property":               {valid, with("more", nil), 1},
		"property no attribute name":  {valid, with("moreInfo", "x"), 1},
		"no body":                     {"", protocol("tcp"), 1},
		"no JSON":                     {"{", protocol("tcp"), 1},
		"no object":                   {"[]", protocol("tcp"), 1},
		"no id":                       {strings.Replace(valid, `"id":"1",`, "", 1), protocol("tcp"), 1},
		"no specversion":              {strings.Replace(valid, `"specversion":"1.0",`, "", 1), protocol("tcp"), 1},
		"type is a number":            {strings.Replace(valid, `"type":"test"`, `"type":1`, 1), protocol("tcp"), 1},
		"no subject":                  {strings.Replace(valid, `"subject":"T",`, "", 1), protocol("tcp"), 1},
		"subject is a number":         {strings.Replace(valid, `"subject":"T"`, `"subject":1`, 1), protocol("tcp"), 1},
		"no data":                     {strings.Replace(valid, `,"data":{"a":1}`, "", 1), protocol("tcp"), 1},
		"data twice":                  {strings.Replace(valid, `"data"`, `"data_base64":"eA==","data"`, 1), protocol("tcp"), 1},
		"bad base64":                  {strings.Replace(valid, `"data":{"a":1}`, `"data_base64":"="`, 1), protocol("tcp"), 1},
		"object as text":              {strings.Replace(valid, "application/cloudevents+json", "text/plain", 1), protocol("tcp"), 1},
		"name with upper case":        {strings.Replace(valid, `"ttl"`, `"timeToLive"`, 1), protocol("tcp"), 1},
		"large extension number":      {strings.Replace(valid, `"ttl":"4000"`, `"along":12345678901`, 1), protocol("tcp"), 1},
		"fractional extension number": {strings.Replace(valid, `"ttl":"4000"`, `"afloat":2.5`, 1), protocol("tcp"), 1},
		"bad time":                    {strings.Replace(valid, `"ttl":"4000"`, `"time":"now"`, 1), protocol("tcp"), 1},
		"no ttl":                      {strings.Replace(valid, `"ttl":"4000",`, "", 1), protocol("tcp"), 0},
		"topic without a subscriber":  {structured("nobody", "1", "1"), protocol("tcp"), 1},
		"1,000 characters":            {structured("T", "1", `"`+strings.Repeat("é", 998)+`"`), protocol("tcp"), 0},
		"1,001 characters":            {structured("T", "1", `"`+strings.Repeat("é", 999)+`"`), protocol("tcp"), 1},
		"characters count as UTF-16":  {structured("T", "1", `"`+strings.Repeat("😀", 500)+`"`), protocol("tcp"), 1},
		"white space does not count":  {structured("T", "1", `{`+strings.Repeat(" ", 1000)+`}`), protocol("tcp"), 0},
		"broadcast has the same rule": {valid, protocol("tcp"), 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if f := c.publish(test.body, test.properties); f.Header.Code != test.want {
				t.Errorf("got code %d (%s), want %d", f.Header.Code, f.Header.Desc, test.want)
			}
		})
	}
}

func TestMaxDataCharactersCanBeRaised(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{MaxDataCharacters: -1})
	sub := cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	c.publish(structured("T", "1", `"`+strings.Repeat("x", 100_000)+`"`), protocol("tcp"))
	sub.wantEvent("1")
}

func TestDataOverTCPIsWrittenAnew(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	sub := cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	tests := map[string]struct{ data, want string }{
		"white space":     {"{ \"b\" : [ 1 ,\n2 ] , \"a\" : null }", `{"b":[1,2],"a":null}`},
		"duplicate keys":  {`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		"numbers":         {`[2.50,1.0,-0,-0.0,1e3,100,123456789012345678901234567890]`, `[2.5,1.0,0,-0.0,1000.0,100,123456789012345678901234567890]`},
		"large numbers":   {`[1e7,12345678.9,1e-3,1.5e-4,1e400,-1e400]`, `[1.0E7,1.23456789E7,0.001,1.5E-4,"Infinity","-Infinity"]`},
		"not ASCII":       {`"\u00e9 é \ud83d\ude00 <>&/\/\u2028"`, "\"é é \\uD83D\\uDE00 <>&//\u2028\""},
		"escapes":         {`"\"\\\b\f\n\r\t\u0001\u001f"`, `"\"\\\b\f\n\r\t\u0001\u001F"`},
		"true and false":  {`[true,false]`, `[true,false]`},
		"string":          {`"aGVsbG8="`, `"aGVsbG8="`},
		"null":            {`null`, `null`},
		"nested and more": {`{"a":{"b":[{}]}}`, `{"a":{"b":[{}]}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if f := c.publish(structured("T", "1", test.data), protocol("tcp")); f.Header.Code != 0 {
				t.Fatalf("publishing: got code %d (%s)", f.Header.Code, f.Header.Desc)
			}
			p := sub.next()
			var got struct {
				Data json.RawMessage `json:"data"`
			}
			if err := json.Unmarshal(p.Body, &got); err != nil {
				t.Fatal(err)
			}
			if string(got.Data) != test.want {
				t.Errorf("got data %s, want %s", got.Data, test.want)
			}
		})
	}
}

func TestEventOverTCP(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	sub := cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	properties := protocol("tcp")
	properties["more"] = 5
	c.publish(`{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"T","datacontenttype":"application/cloudevents+json",`+
		`"time":"2026-01-02T03:04:05.60Z","dataschema":"http://x/","anint":7,"abool":true,"anull":null,`+
		`"anobject":{"a": 1},"data":{}}`, properties)
	got := sub.wantEvent("1")
	if got.Header.Command != frame.AsyncMessageToClient || got.Header.Sequence != "1" || got.Header.Properties["protocoltype"] != "cloudevents" {
		t.Errorf("got header %+v, want ASYNC_MESSAGE_TO_CLIENT, sequence number 1 and a protocoltype", got.Header)
	}
	for name, want := range map[string]any{
		"source": "/s", "type": "t", "subject": "T", "time": "2026-01-02T03:04:05.6Z", "dataschema": "http://x/",
		"anint": 7.0, "anull": "null", "abool": true, "anobject": `{"a":1}`, "more": "5",
		"protocoltype": "cloudevents", "protocolversion": "1.0", "protocoldesc": "tcp",
		"rsp0sys": "0000", "rsp0group": "g", "rsp0idc": "DEFAULT", "rsp0ip": "127.0.0.1",
		"reqsendeventmeship": "127.0.0.1", "reqreceiveeventmeship": "127.0.0.1",
	} {
		if got.fields[name] != want {
			t.Errorf("%s: got %v, want %v", name, got.fields[name], want)
		}
	}
	for _, name := range []string{"reqc2eventmeshtimestamp", "reqeventmesh2mqtimestamp", "reqmq2eventmeshtimestamp", "reqeventmesh2ctimestamp"} {
		if got.fields[name] == nil {
			t.Errorf("got no %s", name)
		}
	}
}

func TestAcknowledgementOfAPublishHasNoCloudEvent(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	cluster(t, s, "g", "T")
	f := publisherTCP(t, s).publish(structured("T", "1", `1`), protocol("tcp"))
	var body map[string]any
	if err := json.Unmarshal(f.Body, &body); err != nil || body["specversion"] != nil {
		t.Errorf("got body %s, error %v, want JSON that is no CloudEvent", f.Body, err)
	}
}

func TestWrongContentTypeOverTCPIsLost(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	sub := cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	for _, contentType := range []string{`"datacontenttype":"text/plain",`, `"datacontenttype":"application/json",`, ""} {
		body := strings.Replace(structured("T", "1", `"x"`), `"datacontenttype":"application/cloudevents+json",`, contentType, 1)
		if f := c.publish(body, protocol("tcp")); f.Header.Code != 0 {
			t.Errorf("%q: publishing: got code %d, want 0", contentType, f.Header.Code)
		}
		if f := sub.want(frame.AsyncMessageToClient, 1); f.Body != nil || f.Header.Desc == "" {
			t.Errorf("%q: got body %s, description %q, want a stack trace alone", contentType, f.Body, f.Header.Desc)
		}
	}
	c.publish(strings.Replace(structured("T", "1", `1`), "cloudevents+json", "cloudevents+json; charset=utf-8", 1), protocol("tcp"))
	sub.wantEvent("1")
}

func TestBase64OverTCPIsAnInvalidFrame(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	sub := cluster(t, s, "g", "T")
	body := strings.Replace(structured("T", "1", `1`), `"data":1`, `"data_base64":"AAH/"`, 1)
	if f := publisherTCP(t, s).publish(body, protocol("tcp")); f.Header.Code != 0 {
		t.Fatalf("publishing: got code %d, want 0", f.Header.Code)
	}
	if f := sub.want(frame.AsyncMessageToClient, 0); json.Valid(f.Body) {
		t.Errorf("got %s, want something that is no JSON", f.Body)
	}
}

func TestRateLimitOverTCP(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{RateLimit: 1})
	cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	c.mustPublish("1")
	if f := c.publish(structured("T", "2", "1"), protocol("tcp")); f.Header.Code != 1 || f.Header.Desc != "Tps overload, global flow control" {
		t.Errorf("got code %d, description %q, want code 1 for the rate", f.Header.Code, f.Header.Desc)
	}
}

func TestTooManyPublishesInFlight(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	sub := cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	s.SetFaults(eventmeshtest.Faults{Delay: ample})
	for i := range 21 {
		c.send(frame.AsyncMessageToServer, fmt.Sprint(i), structured("T", "1", "1"), protocol("tcp"))
	}
	for range 20 {
		sub.wantEvent("1")
	}
	sub.wantNone()
	codes := map[int]int{}
	for range 21 {
		codes[c.next().Header.Code]++
	}
	if codes[0] != 20 || codes[1] != 1 {
		t.Errorf("got %v answers by code, want 20 and 1", codes)
	}
	s.SetFaults(eventmeshtest.Faults{})
	c.mustPublish("1")
}

func TestPublishFaultsOverTCP(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{})
	sub := cluster(t, s, "g", "T")
	c := publisherTCP(t, s)
	s.SetFaults(eventmeshtest.Faults{Refuse: "14", RefuseDescription: "no"})
	if f := c.publish(structured("T", "1", "1"), protocol("tcp")); f.Header.Code != 1 || f.Header.Desc != "no" {
		t.Errorf("Refuse: got code %d, description %q, want code 1 and no", f.Header.Code, f.Header.Desc)
	}
	s.SetFaults(eventmeshtest.Faults{LoseAnswers: 1})
	c.send(frame.AsyncMessageToServer, "1", structured("T", "lost", "1"), protocol("tcp"))
	sub.wantEvent("lost")
	c.wantNone()
}

// TestAcknowledgementsAreMixedUp has one session's permits go to another, with its confirmations.
func TestAcknowledgementsAreMixedUp(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{InFlightLimit: 2})
	cluster(t, s, "g", "T")
	a, b := publisherTCP(t, s), publisherTCP(t, s)
	s.SetFaults(eventmeshtest.Faults{MixUpAcknowledgements: 1})
	for _, sequence := range []string{"1", "2"} {
		a.send(frame.AsyncMessageToServer, sequence, structured("T", sequence, "1"), protocol("tcp"))
		if f := b.want(frame.AsyncMessageToServerAck, 0); f.Header.Sequence != sequence || !strings.Contains(string(f.Body), `"id":"`+sequence+`"`) {
			t.Errorf("got sequence number %q and %s on the other connection, want those of event %s", f.Header.Sequence, f.Body, sequence)
		}
	}
	a.wantNone()
	s.SetFaults(eventmeshtest.Faults{})
	if f := a.publish(structured("T", "3", "1"), protocol("tcp")); f.Header.Code != 1 || !strings.Contains(f.Header.Desc, "SEND_TOO_FAST") {
		t.Errorf("got code %d, description %q of a session whose permits another has", f.Header.Code, f.Header.Desc)
	}
	if f := b.publish(structured("T", "3", "1"), protocol("tcp")); f.Header.Code != 0 {
		t.Errorf("got code %d, description %q of a session that has more permits", f.Header.Code, f.Header.Desc)
	}
}

func TestInboundFramesAreShaped(t *testing.T) {
	s := eventmeshtest.New(t, eventmeshtest.Options{InboundLimit: 20})
	c := publisherTCP(t, s)
	start := time.Now()
	for range 10 {
		c.ask(frame.HeartbeatRequest, "", frame.HeartbeatResponse, 0)
	}
	if d := time.Since(start); d < 300*time.Millisecond {
		t.Errorf("10 frames at 20 a second took %v, want about half a second", d)
	}
}
