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
	keysMaxAge      = 5 * time.Minute  // older keys are fetched again, in the background
	keysTooOld      = 10 * time.Minute // older keys are used only if they cannot be fetched
	keysMinInterval = time.Second      // between two fetches for unknown keys
	keysRetry       = 30 * time.Second // between two fetches because of their age
)

// keySet caches the issuer's keys. It keeps them while the issuer is unavailable, so that
// tokens can still be verified. Otherwise a key that the issuer has withdrawn is not used
// for longer than keysTooOld.
type keySet struct {
	fetch     func(context.Context) ([]byte, error) // a JSON Web Key Set
	clock     func() time.Time                      // with the monotonic clock, so that setting the clock back does no harm
	flight    singleflight.Group
	current   atomic.Pointer[keys]
	lastFetch atomic.Pointer[time.Time] // the last attempt
	fetching  atomic.Bool               // it is under way
}

type keys struct {
	byID    map[string]ed25519.PublicKey
	raw     []byte
	fetched time.Time
}

var errUnknownKey = errors.New("bearer: the token is signed with an unknown key")

// raw returns the key set as it was fetched, nil if it never was.
func (k *keySet) raw() []byte {
	if current := k.current.Load(); current != nil {
		return current.raw
	}
	return nil
}

// find returns the key with an ID. It fetches the keys if there are none, if they are
// old, and, at most once in keysMinInterval, if this one is unknown. The error is
// errUnknownKey when the issuer does not have the key, and has the code Unavailable when
// that cannot be known now.
func (k *keySet) find(ctx context.Context, id string) (ed25519.PublicKey, error) {
	current, now := k.current.Load(), k.clock()
	if current == nil {
		if err := k.refresh(ctx); err != nil {
			return nil, errNoKeys()
		}
		current = k.current.Load()
	}
	tried, underWay := now.Sub(*k.lastFetch.Load()), k.fetching.Load()
	switch age := now.Sub(current.fetched); {
	case current.byID[id] == nil && (underWay || tried > keysMinInterval),
		age > keysTooOld && (underWay || tried > keysRetry):
		_ = k.refresh(ctx) // on an error the current keys stay
	case age > keysMaxAge && tried > keysRetry:
		go func() { _ = k.refresh(context.WithoutCancel(ctx)) }()
	}
	current = k.current.Load()
	if key := current.byID[id]; key != nil {
		return key, nil
	}
	if current.fetched.Before(*k.lastFetch.Load()) {
		return nil, errNoKeys() // the last fetch failed, so the key may be a new one
	}
	return nil, errUnknownKey
}

func errNoKeys() error {
	return errs.New(errs.Unavailable, "access tokens cannot be verified at the moment; try again")
}

// refresh fetches the keys. Concurrent callers share one fetch.
func (k *keySet) refresh(ctx context.Context) error {
	done := k.flight.DoChan("", func() (any, error) {
		k.fetching.Store(true)
		defer k.fetching.Store(false)
		now := k.clock()
		k.lastFetch.Store(&now)
		raw, err := k.fetch(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		set, err := parseKeys(raw)
		if err == nil {
			set.fetched = now
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
	return &keys{byID: byID, raw: raw}, nil
}
