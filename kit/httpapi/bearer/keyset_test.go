package bearer

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lonja/kit/errs"
)

// issuer publishes keys, and can be away.
type issuer struct {
	published []string
	away      bool
	fetches   int
}

func (i *issuer) fetch(context.Context) ([]byte, error) {
	if i.fetches++; i.away {
		return nil, errors.New("the issuer is away")
	}
	var keys []string
	for _, id := range i.published {
		x := base64.RawURLEncoding.EncodeToString(make([]byte, ed25519.PublicKeySize))
		keys = append(keys, fmt.Sprintf(`{"kty": "OKP", "crv": "Ed25519", "kid": %q, "x": %q}`, id, x))
	}
	return []byte(`{"keys": [` + strings.Join(keys, ",") + `]}`), nil
}

// TestKeySet_FollowsTheIssuer is a story of one issuer and one gateway, in virtual time.
func TestKeySet_FollowsTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := &issuer{published: []string{"old"}}
		k := &keySet{fetch: at.fetch, clock: time.Now}
		find := func(id string, code errs.Code, fetches int) {
			t.Helper()
			_, err := k.find(t.Context(), id)
			synctest.Wait() // for a fetch in the background
			if r, coded := errs.As(err); code == "" && err != nil || coded && r.Code != code || errors.Is(err, errUnknownKey) != (code == errs.Unauthenticated) {
				t.Errorf("%s: %v", id, err)
			}
			if at.fetches != fetches {
				t.Errorf("%s: %d fetches, want %d", id, at.fetches, fetches)
			}
			at.fetches = 0
		}
		find("old", "", 1)
		find("old", "", 0)
		find("new", errs.Unauthenticated, 0) // fetched this very second
		time.Sleep(keysMinInterval + 1)
		find("new", errs.Unauthenticated, 1)

		// A new key is found as soon as a token of it comes.
		at.published = []string{"old", "new"}
		time.Sleep(keysMinInterval + 1)
		find("new", "", 1)

		// One that is withdrawn is dropped in the background, or at once after a long silence.
		at.published = []string{"new"}
		time.Sleep(keysMaxAge)
		find("old", "", 0)
		time.Sleep(time.Nanosecond)
		find("old", "", 1)
		find("old", errs.Unauthenticated, 0)
		at.published = []string{"newest"}
		time.Sleep(keysTooOld + 1)
		find("new", errs.Unauthenticated, 1)

		// While the issuer is away, its keys are kept for as long as it takes. Whether it has
		// made another key is not known.
		at.away = true
		time.Sleep(24 * time.Hour)
		find("newest", "", 1)
		find("newest", "", 0)
		find("another", errs.Unavailable, 0)
		time.Sleep(keysMinInterval + 1)
		find("another", errs.Unavailable, 1)
		at.away = false
		time.Sleep(keysRetry + 1)
		find("newest", "", 1)
		find("another", errs.Unauthenticated, 0)
	})
}
