package kittest

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"maps"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"lonja/kit/eventlog"
)

// Noted is the event that somebody wrote a note on a counter, which is sealed by a key of the
// counter. It is not among the events of Codec, but of SealedCodec.
type Noted struct {
	eventlog.Sealed
	Counter string `json:"counter"` // the counter's name, which must not be empty
	Note    string `json:"note,omitempty" sealed:"true"`
}

// EventName implements [eventlog.Event].
func (Noted) EventName() string { return "counter.noted.v1" }

// EntityID implements [eventlog.Event]. It returns the counter's name.
func (n Noted) EntityID() string { return n.Counter }

// KeyOwner implements [eventlog.KeyOwner]. It returns the counter's name.
func (n Noted) KeyOwner() string { return n.Counter }

// Check implements [eventlog.Event]. It returns an error if the counter has no name, or if
// there is no note although none is withheld.
func (n Noted) Check() error {
	if n.Note == "" && !n.Withheld {
		return errors.New("note must not be empty")
	}
	return Added{Counter: n.Counter}.Check()
}

// SealedCodec writes and reads Added and Noted.
var SealedCodec = eventlog.NewCodec("kittest", Added{}, Noted{})

// Keys is a key ring in memory. Its zero value is ready to use.
type Keys struct {
	mu    sync.Mutex
	away  error
	byOne map[string]cipher.AEAD // nil once destroyed
}

var _ eventlog.KeyRing = (*Keys)(nil)

// errNoKey means that a key was never made.
var errNoKey = errors.New("there is no key")

// TakeAway makes Key and MakeKey fail until err is nil.
func (k *Keys) TakeAway(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = err
}

// Destroy destroys the key of an owner.
func (k *Keys) Destroy(owner string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byOne == nil {
		k.byOne = map[string]cipher.AEAD{}
	}
	k.byOne[owner] = nil
}

// Copy returns a ring with the same keys that are not away.
func (k *Keys) Copy() *Keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &Keys{byOne: maps.Clone(k.byOne)}
}

// Key implements [eventlog.KeyRing].
func (k *Keys) Key(owner string) (cipher.AEAD, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key(owner)
}

func (k *Keys) key(owner string) (cipher.AEAD, error) {
	key, known := k.byOne[owner]
	switch {
	case k.away != nil:
		return nil, k.away
	case !known:
		return nil, errNoKey
	case key == nil:
		return nil, eventlog.ErrKeyDestroyed
	}
	return key, nil
}

// MakeKey implements [eventlog.KeyRing].
func (k *Keys) MakeKey(_ context.Context, owner string) (cipher.AEAD, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, err := k.key(owner)
	if !errors.Is(err, errNoKey) {
		return key, err
	}
	raw := make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	if key, err = chacha20poly1305.NewX(raw); err != nil {
		return nil, err
	}
	if k.byOne == nil {
		k.byOne = map[string]cipher.AEAD{}
	}
	k.byOne[owner] = key
	return key, nil
}
