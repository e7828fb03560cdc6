package bearer

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"lonja/kit/errs"
)

const (
	keysGrowOld = 5 * time.Minute // then they are asked for again, in the background
	keysAtMost  = time.Second     // how often an unknown key makes us ask
)

// keySet knows the keys that tokens are signed with. It keeps them while the
// issuer is away, so that whoever is signed in can go on.
type keySet struct {
	ask    func(context.Context) ([]byte, error) // a JSON Web Key Set
	flight singleflight.Group
	held   atomic.Pointer[keys]
	asked  atomic.Pointer[time.Time] // when last
}

type keys struct {
	byID map[string]ed25519.PublicKey
	raw  []byte
}

var errNoSuchKey = errors.New("the token is signed with a key that is not known")

func (k *keySet) has(id string) bool {
	held := k.held.Load()
	return held != nil && held.byID[id] != nil
}

// raw is the set as it was read, nil when it never was.
func (k *keySet) raw() []byte {
	if held := k.held.Load(); held != nil {
		return held.raw
	}
	return nil
}

// find is the key with an id. It asks for the keys when it has none, when they
// have grown old, and, now and then, when it does not know this one.
func (k *keySet) find(ctx context.Context, id string) (ed25519.PublicKey, error) {
	held := k.held.Load()
	if held == nil {
		if err := k.refresh(ctx); err != nil {
			return nil, errs.New(errs.Unavailable, "access tokens cannot be verified at the moment; try again")
		}
		held = k.held.Load()
	}
	switch age := time.Since(*k.asked.Load()); {
	case held.byID[id] == nil && age > keysAtMost:
		_ = k.refresh(ctx) // what is held stays
	case age > keysGrowOld:
		go func() { _ = k.refresh(context.WithoutCancel(ctx)) }()
	}
	if key := k.held.Load().byID[id]; key != nil {
		return key, nil
	}
	return nil, errNoSuchKey
}

// refresh asks for the keys. Whoever wants them meanwhile shares the answer.
func (k *keySet) refresh(ctx context.Context) error {
	done := k.flight.DoChan("", func() (any, error) {
		now := time.Now() // whole, so that a clock that is set back does not make it the future
		k.asked.Store(&now)
		raw, err := k.ask(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		set, err := parseKeys(raw)
		if err == nil {
			k.held.Store(set)
		}
		return nil, err
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parseKeys reads the Ed25519 keys of a JSON Web Key Set (RFC 8037), and leaves
// out all others.
func parseKeys(raw []byte) (*keys, error) {
	var set struct {
		Keys []struct {
			KeyType string `json:"kty"`
			Curve   string `json:"crv"`
			KeyID   string `json:"kid"`
			X       string `json:"x"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	byID := make(map[string]ed25519.PublicKey, len(set.Keys))
	for _, key := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(key.X)
		if err == nil && len(x) == ed25519.PublicKeySize && key.KeyType == "OKP" && key.Curve == "Ed25519" {
			byID[key.KeyID] = x
		}
	}
	if len(byID) == 0 {
		return nil, errors.New("keys: there is none")
	}
	return &keys{byID, raw}, nil
}
