package load_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/await"
	"github.com/eventing-eventmesh/eventing-eventmesh/test/bench/broker/load"
)

// broker delivers an event of so many to triggers of the load, before it answers: all but what to says of it.
func broker(t *testing.T, subscriber *string, to func(n int) (triggers []int, status int)) string {
	t.Helper()
	numbers := make(chan int, 1)
	numbers <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := <-numbers
		numbers <- n + 1
		triggers, status := to(n)
		for _, trigger := range triggers {
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s/%d", *subscriber, trigger), strings.NewReader("{}"))
			request.Header.Set("Ce-Id", r.Header.Get("Ce-Id"))
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestLoad(t *testing.T) {
	all := func(int) ([]int, int) { return []int{0, 1}, http.StatusAccepted }
	for name, test := range map[string]struct {
		order load.Order
		to    func(n int) ([]int, int)
		want  load.Result // but for times
	}{
		"at a rate":  {load.Order{Matching: 2, Rate: 1000, Duration: 50 * time.Millisecond}, all, load.Result{Events: 50}},
		"twice":      {load.Order{Matching: 1, Rate: 1000, Duration: 5 * time.Millisecond}, func(int) ([]int, int) { return []int{0, 0}, http.StatusAccepted }, load.Result{Events: 5, Repeated: 5}},
		"by another": {load.Order{Matching: 1, Rate: 1000, Duration: 5 * time.Millisecond}, all, load.Result{Events: 5, Repeated: 5}},
		"one refused, one not delivered to all": {load.Order{Matching: 2, Rate: 1000, Duration: 5 * time.Millisecond, Patience: 10 * time.Millisecond}, func(n int) ([]int, int) {
			switch n {
			case 1:
				return nil, http.StatusServiceUnavailable
			case 2:
				return []int{1}, http.StatusAccepted
			}
			return all(n)
		}, load.Result{Events: 3, Refused: 1, Lost: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			result := ordered(t, test.order, test.to)
			if result.Elapsed <= 0 || result.Answered.P50 <= 0 || result.Delivered.P99 < result.Delivered.P50 || result.Delivered.Max < result.Delivered.P99 {
				t.Errorf("a time is missing: %+v", result)
			}
			result.Elapsed, result.Answered, result.Delivered = 0, load.Latency{}, load.Latency{}
			if result != test.want {
				t.Errorf("got %+v, want %+v", result, test.want)
			}
		})
	}
	t.Run("as fast as can be", func(t *testing.T) {
		result := ordered(t, load.Order{Matching: 2, Window: 4, Duration: 20 * time.Millisecond}, all)
		if result.Events < 4 || result.Refused+result.Lost+result.Repeated > 0 {
			t.Errorf("got %+v, want four events at least, and all of them", result)
		}
	})
}

// ordered carries out an order.
func ordered(t *testing.T, o load.Order, to func(n int) ([]int, int)) (result load.Result) {
	t.Helper()
	server := httptest.NewServer(load.New())
	t.Cleanup(server.Close)
	o.Target, o.Size = broker(t, &server.URL, to), 100
	if o.Patience == 0 {
		o.Patience = await.Patience
	}
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(server.URL+"/run", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("got %s", answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestOrderThatAsksForNothing(t *testing.T) {
	server := httptest.NewServer(load.New())
	t.Cleanup(server.Close)
	for _, o := range []load.Order{{Rate: 1}, {Rate: 1, Matching: 65}, {Matching: 1}} {
		body, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.Post(server.URL+"/run", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusConflict {
			t.Errorf("%+v: got %s, want 409", o, answer.Status)
		}
	}
}
