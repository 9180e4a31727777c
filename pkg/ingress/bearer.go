package ingress

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/eventing-eventmesh/eventing-eventmesh/internal/token"
)

// Subject returns who has sent a request, by its bearer token, without reading its body. The error is a [RefusalError]: 401 where there is no
// token that is valid for the audience, 503 where the keys to verify it cannot be read. It tells nothing of what is in the token.
func Subject(r *http.Request, tokens *token.Verifier, audience string) (string, error) {
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if presented = strings.TrimSpace(presented); presented == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", &RefusalError{Status: http.StatusUnauthorized, Challenge: "Bearer", Err: errors.New("a bearer token is needed")}
	}
	subject, err := tokens.Verify(r.Context(), presented, audience)
	if invalid, ok := errors.AsType[token.InvalidError](err); ok {
		challenge := fmt.Sprintf(`Bearer error="invalid_token", error_description=%q`, string(invalid))
		return "", &RefusalError{Status: http.StatusUnauthorized, Challenge: challenge, Err: invalid}
	}
	if err != nil {
		return "", Refusef(http.StatusServiceUnavailable, "%w", err)
	}
	return subject, nil
}
