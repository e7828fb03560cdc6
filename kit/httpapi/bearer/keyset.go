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
	keysMaxAge      = 5 * time.Minute // older keys are fetched again, in the background
	keysMinInterval = time.Second     // between two fetches for unknown keys
)

// keySet caches the issuer's keys. It keeps them while the issuer is unavailable, so that
// tokens can still be verified.
type keySet struct {
	fetch     func(context.Context) ([]byte, error) // a JSON Web Key Set
	flight    singleflight.Group
	current   atomic.Pointer[keys]
	lastFetch atomic.Pointer[time.Time]
}

type keys struct {
	byID map[string]ed25519.PublicKey
	raw  []byte
}

var errUnknownKey = errors.New("bearer: the token is signed with an unknown key")

func (k *keySet) has(id string) bool {
	current := k.current.Load()
	return current != nil && current.byID[id] != nil
}

// raw returns the key set as it was fetched, nil if it never was.
func (k *keySet) raw() []byte {
	if current := k.current.Load(); current != nil {
		return current.raw
	}
	return nil
}

// find returns the key with an ID. It fetches the keys if there are none, if they are
// old, and, at most once in keysMinInterval, if this one is unknown.
func (k *keySet) find(ctx context.Context, id string) (ed25519.PublicKey, error) {
	current := k.current.Load()
	if current == nil {
		if err := k.refresh(ctx); err != nil {
			return nil, errs.New(errs.Unavailable, "access tokens cannot be verified at the moment; try again")
		}
		current = k.current.Load()
	}
	switch age := time.Since(*k.lastFetch.Load()); {
	case current.byID[id] == nil && age > keysMinInterval:
		_ = k.refresh(ctx) // on an error the current keys stay
	case age > keysMaxAge:
		go func() { _ = k.refresh(context.WithoutCancel(ctx)) }()
	}
	if key := k.current.Load().byID[id]; key != nil {
		return key, nil
	}
	return nil, errUnknownKey
}

// refresh fetches the keys. Concurrent callers share one fetch.
func (k *keySet) refresh(ctx context.Context) error {
	done := k.flight.DoChan("", func() (any, error) {
		now := time.Now() // with the monotonic clock, so that setting the clock back does no harm
		k.lastFetch.Store(&now)
		raw, err := k.fetch(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		set, err := parseKeys(raw)
		if err == nil {
			k.current.Store(set)
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

// parseKeys parses the Ed25519 keys of a JSON Web Key Set (RFC 8037) and ignores all
// others.
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
		return nil, fmt.Errorf("bearer: key set: %w", err)
	}
	byID := make(map[string]ed25519.PublicKey, len(set.Keys))
	for _, key := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(key.X)
		if err == nil && len(x) == ed25519.PublicKeySize && key.KeyType == "OKP" && key.Curve == "Ed25519" {
			byID[key.KeyID] = x
		}
	}
	if len(byID) == 0 {
		return nil, errors.New("bearer: the key set has no Ed25519 key")
	}
	return &keys{byID, raw}, nil
}
