package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

// cluster issues tokens that are numbered, and valid for an hour.
type cluster struct {
	mu    sync.Mutex
	away  bool
	asked map[string]int // by account and audience
}

func (c *cluster) set(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

func (c *cluster) issue(action k8stesting.Action) (bool, runtime.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	create, ok := action.(k8stesting.CreateActionImpl)
	request, is := create.GetObject().(*authenticationv1.TokenRequest)
	if !ok || !is {
		return false, nil, nil
	}
	key := create.Name + " " + request.Spec.Audiences[0]
	c.asked[key]++
	if c.away {
		return true, nil, errors.New("away")
	}
	return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{
		Token: fmt.Sprint(key, " ", c.asked[key]), ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Duration(*request.Spec.ExpirationSeconds) * time.Second)),
	}}, nil
}

// asks returns what asks a cluster, and runs until the test ends.
func asks(t *testing.T) (*tokens, *cluster) {
	t.Helper()
	c, client := &cluster{asked: map[string]int{}}, fake.NewClientset()
	client.PrependReactor("create", "serviceaccounts", c.issue)
	asked := newTokens(client, zap.NewNop().Sugar())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { asked.run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return asked, c
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, cluster := asks(t)
		id := identity{"shop", "orders", "subscriber"}
		token := asked.of(id, identity{})
		gets := func(want string) {
			t.Helper()
			synctest.Wait()
			got, err := token()
			if unprepared, ok := errors.AsType[*dispatch.UnpreparedError](err); got != want || (want == "") != ok {
				t.Errorf("after %s: got %q, %v, %v; want %q", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), got, err, unprepared, want)
			}
		}
		gets("") // nobody wants it
		asked.want(map[identity]bool{id: true})
		gets("orders subscriber 1")
		time.Sleep(47 * time.Minute)
		gets("orders subscriber 1")
		time.Sleep(2 * time.Minute)
		gets("orders subscriber 2")
		cluster.set(true)
		time.Sleep(58 * time.Minute)
		gets("orders subscriber 2") // as long as it is valid
		if err := asked.problem(id); err != nil {
			t.Errorf("got %v while there is a token", err)
		}
		time.Sleep(2 * time.Minute)
		gets("")
		if err := asked.problem(id); err == nil {
			t.Error("got no problem without a token")
		}
		cluster.set(false)
		time.Sleep(2 * tokenPause)
		if got, err := token(); err != nil || asked.problem(id) != nil {
			t.Errorf("got %q, %v after the cluster came back", got, err)
		}
		asked.want(nil)
		gets("")
		before := cluster.asked["orders subscriber"]
		time.Sleep(2 * time.Hour)
		if got := cluster.asked["orders subscriber"]; got != before {
			t.Errorf("asked %d times for a token that nobody wants", got-before)
		}
	})
}

// No token is sent where nobody asks for one, or nobody would send it.
func TestNoToken(t *testing.T) {
	asked := newTokens(nil, zap.NewNop().Sugar())
	for _, id := range []identity{{"shop", "", "subscriber"}, {"shop", "orders", ""}} {
		if asked.of(id, id) != nil || asked.problem(id) != nil {
			t.Errorf("%+v has a token", id)
		}
	}
}

// Nobody is asked whose answer could not be sent on: each try would deliver the event once more.
func TestNoTokenForReplies(t *testing.T) {
	broker := identity{"shop", "orders", "broker"}
	for _, id := range []identity{{"shop", "orders", "subscriber"}, {"shop", "orders", ""}} {
		asked := newTokens(nil, zap.NewNop().Sugar())
		token := asked.of(id, broker)
		asked.want(map[identity]bool{id: true, broker: true})
		asked.answered(id, issued{token: "theirs", end: time.Now().Add(time.Hour)})
		if got, err := token(); err == nil {
			t.Errorf("%+v: got %q before there is a token for replies", id, got)
		}
		asked.answered(broker, issued{token: "ours", end: time.Now().Add(time.Hour)})
		want := ""
		if id.needsToken() {
			want = "theirs"
		}
		if got, err := token(); got != want || err != nil {
			t.Errorf("%+v: got %q, %v, want %q", id, got, err, want)
		}
	}
}

// Many are asked for at once, each once.
func TestManyTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, cluster := asks(t)
		all := map[identity]bool{}
		for i := range 500 {
			all[identity{"shop", fmt.Sprint("account-", i), "subscriber"}] = true
		}
		asked.want(all)
		synctest.Wait()
		for id := range all {
			if token, err := asked.of(id, identity{})(); err != nil || cluster.asked[id.account+" subscriber"] != 1 {
				t.Fatalf("%s: got %q, %v, asked %d times", id.account, token, err, cluster.asked[id.account+" subscriber"])
			}
		}
	})
}
