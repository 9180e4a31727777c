package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eventing-eventmesh/eventing-eventmesh/pkg/dispatch"
)

const (
	// tokenLife is how long a token is asked to be valid. A new one takes its place when a fifth of that is left.
	tokenLife = time.Hour
	// tokenPatience bounds a request for one, and tokensPerSecond is how many are made at most: each Trigger needs some.
	tokenPatience   = 10 * time.Second
	tokensPerSecond = 50
	// tokenPause is the time from one round of requests to the next, and tokenRequests how many are under way at once.
	tokenPause    = time.Second
	tokenRequests = 16
)

// identity is as whom an event is sent, and to whom. Without an account or an audience no token is sent.
type identity struct{ namespace, account, audience string }

func (i identity) needsToken() bool { return i.account != "" && i.audience != "" }

// tokens asks the cluster for the tokens of service accounts, ahead of the events that need them: so no delivery waits for the cluster, and
// while that is away those go on that are still valid. Its methods may be called by several goroutines.
type tokens struct {
	client kubernetes.Interface // nil: there is no cluster
	logger *zap.SugaredLogger
	now    func() time.Time
	wanted chan struct{} // holds a value when there may be others to ask for

	mu   sync.Mutex
	kept map[identity]*issued
}

// issued is what the cluster has issued for an identity.
type issued struct {
	token      string
	renew, end time.Time
	err        error // of the last request; nil before the first
}

func newTokens(client kubernetes.Interface, logger *zap.SugaredLogger) *tokens {
	return &tokens{client: client, logger: logger, now: time.Now, wanted: make(chan struct{}, 1), kept: map[identity]*issued{}}
}

// want says all whose tokens are wanted from now on.
func (t *tokens) want(all map[identity]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[identity]*issued, len(all))
	for id := range all {
		next[id] = t.kept[id]
		if next[id] == nil {
			next[id] = &issued{}
		}
	}
	t.kept = next
	select {
	case t.wanted <- struct{}{}:
	default:
	}
}

// run asks, until the context ends.
func (t *tokens) run(ctx context.Context) {
	for ctx.Err() == nil {
		t.ask(ctx)
		select {
		case <-ctx.Done():
		case <-t.wanted:
		case <-time.After(tokenPause):
		}
	}
}

// ask asks for all that are due, and returns when they are answered.
func (t *tokens) ask(ctx context.Context) {
	var asking sync.WaitGroup
	places := make(chan struct{}, tokenRequests)
	for _, id := range t.due() {
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			t.answered(id, t.request(ctx, id))
		})
	}
	asking.Wait()
}

func (t *tokens) due() (due []identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.kept {
		if !t.now().Before(k.renew) {
			due = append(due, id)
		}
	}
	return due
}

// request asks for one.
func (t *tokens) request(ctx context.Context, id identity) issued {
	if t.client == nil {
		return issued{err: errors.New("there is no cluster")}
	}
	ctx, cancel := context.WithTimeout(ctx, tokenPatience)
	defer cancel()
	life := int64(tokenLife / time.Second)
	began := t.now()
	answer, err := t.client.CoreV1().ServiceAccounts(id.namespace).CreateToken(ctx, id.account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{id.audience}, ExpirationSeconds: &life}}, metav1.CreateOptions{})
	if err != nil {
		return issued{err: err}
	}
	end := answer.Status.ExpirationTimestamp.Time
	return issued{token: answer.Status.Token, renew: began.Add(end.Sub(began) * 4 / 5), end: end}
}

// answered keeps an answer, and logs what is new.
func (t *tokens) answered(id identity, answer issued) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.kept[id]
	if k == nil {
		return // not wanted any more
	}
	logger := t.logger.With("namespace", id.namespace, "account", id.account, "audience", id.audience)
	if answer.err != nil {
		if k.err == nil {
			logger.Errorw("the cluster does not give the token of a Trigger; once the last one has expired events are kept", zap.Error(answer.err))
		}
		k.err = answer.err
		return
	}
	if k.err != nil {
		logger.Info("the cluster gives the token of a Trigger again")
	}
	*k = answer
}

// of returns what returns the token of an identity, if it needs one, and fails until there is also that of another, if that needs one. Its
// error counts as no attempt to deliver an event.
func (t *tokens) of(id, also identity) func() (string, error) {
	if !id.needsToken() && !also.needsToken() {
		return nil
	}
	return func() (string, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if _, err := t.token(also); err != nil {
			return "", err
		}
		return t.token(id)
	}
}

// token returns the token of an identity, and "" for one that needs none. t.mu is held.
func (t *tokens) token(id identity) (string, error) {
	if !id.needsToken() {
		return "", nil
	}
	if k := t.kept[id]; k != nil && t.now().Before(k.end) {
		return k.token, nil
	}
	return "", &dispatch.UnpreparedError{Reason: fmt.Errorf("there is no token of service account %s/%s for audience %s yet", id.namespace, id.account, id.audience)}
}

// problem says why there is no token for an identity that needs one, if there is none.
func (t *tokens) problem(id identity) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.kept[id]; k != nil && k.err != nil && !t.now().Before(k.end) {
		return fmt.Errorf("no token of service account %s/%s for audience %s: %w", id.namespace, id.account, id.audience, k.err)
	}
	return nil
}
