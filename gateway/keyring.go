package gateway

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

	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

const (
	keysGrowOld = 5 * time.Minute // then they are asked for again, in the background
	keysAtMost  = time.Second     // how often an unknown key makes us ask
)

// keyring knows the keys that access tokens are signed with. It keeps them
// while identity is away, so that whoever is signed in can go on.
type keyring struct {
	ask    func(context.Context) ([]byte, error) // a query.Keyset
	flight singleflight.Group
	held   atomic.Pointer[keySet]
	asked  atomic.Pointer[time.Time] // when last
}

type keySet struct {
	byID map[string]ed25519.PublicKey
	raw  []byte
}

var errNoSuchKey = errors.New("the token is signed with a key that is not known")

func (k *keyring) has(id string) bool {
	held := k.held.Load()
	return held != nil && held.byID[id] != nil
}

// find is the key with an id. It asks for the keys when it has none, when they
// have grown old, and, now and then, when it does not know this one.
func (k *keyring) find(ctx context.Context, id string) (ed25519.PublicKey, error) {
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
func (k *keyring) refresh(ctx context.Context) error {
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

func parseKeys(raw []byte) (*keySet, error) {
	var set query.Keyset
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
	return &keySet{byID, raw}, nil
}

// askKeys asks identity for its keys, on nobody's behalf.
func (g *gateway) askKeys(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return g.Client.Query(ctx, query.Keys{}, eventlog.Envelope{})
}
