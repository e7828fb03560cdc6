package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
)

// newSeed is what a new key is made of.
type newSeed []byte

// lookUpSeed makes the random part of a rotation.
func (i *identity) lookUpSeed(context.Context, command.RotateKey) (newSeed, error) {
	return random(), nil
}

// rotateKey adds a key, unless one was added that does not sign yet: two operators who rotate
// at once want one.
func rotateKey(iss issuer, _ command.RotateKey, s newSeed, m decider.Meta) (events.Event, error) {
	if iss.keys.pending(m.Now) {
		return nil, nil
	}
	return newKey(s, m.Now.Add(keyLead)), nil
}

// newestKey is the answer to a rotation.
func newestKey(iss issuer, _ events.Event) any {
	newest := iss.keys[len(iss.keys)-1]
	return query.SigningKey{KeyID: newest.id, ActiveAt: newest.activeAt}
}

// tendKeys learns of new keys, replaces the newest one when it has signed for SigningKeyAge,
// and forgets those that are retired. It is the service's upkeep: a replica knows a new key
// long before it signs.
func (i *identity) tendKeys(ctx context.Context, sealing *keyring.Ring) error {
	if err := i.loadKeys(ctx); err != nil {
		return err
	}
	return errors.Join(i.replaceOutdated(ctx), i.forgetRetired(ctx, sealing))
}

// replaceOutdated adds a key when the newest one has signed for SigningKeyAge.
func (i *identity) replaceOutdated(ctx context.Context) error {
	all := i.known.Load().all
	if !all.outdated(i.clock(), i.SigningKeyAge) {
		return nil
	}
	// All replicas send this command under one id, so one key is added.
	s := random()
	_, err := i.decideIssuer(ctx, "replace key "+all[len(all)-1].id, func(iss issuer, m decider.Meta) (events.Event, error) {
		if !iss.keys.outdated(m.Now, i.SigningKeyAge) {
			return nil, nil
		}
		return rotateKey(iss, command.RotateKey{}, s, m)
	})
	if err != nil {
		return err
	}
	return i.loadKeys(ctx)
}

// forgetRetired destroys what retired keys are sealed with, so that nobody can sign with them
// any more, whatever copy of the log they have. Every replica does it once after its start,
// also for those that another one has destroyed: that may have been interrupted.
func (i *identity) forgetRetired(ctx context.Context, sealing *keyring.Ring) error {
	all := i.known.Load().all
	for _, k := range all[:all.retired(i.clock())] {
		if _, done := i.forgotten.Load(k.id); done || k.plain {
			continue
		}
		if err := sealing.Destroy(ctx, events.RealmKeyAdded{KeyID: k.id}.KeyOwner()); err != nil {
			return err
		}
		i.forgotten.Store(k.id, true)
	}
	return nil
}

// knownKeys are the issuer's keys as a replica knows them.
type knownKeys struct {
	all keys
	at  time.Time // when they were loaded
}

func (i *identity) loadKeys(ctx context.Context) error {
	return i.issuers.Peek(ctx, events.RealmID, i.storeKeys(i.clock()))
}

// storeKeys returns what stores the keys of an issuer that was asked for at a time.
func (i *identity) storeKeys(at time.Time) func(issuer) {
	at = at.Round(0) // a monotonic clock may stand still while the machine is suspended
	// The state may be kept, since evolveIssuer only adds to it.
	return func(iss issuer) { i.known.Store(&knownKeys{iss.keys, at}) }
}

// currentKeys returns the keys as they are now or were at most keysKept ago. It loads them
// when the upkeep has not done so, since the log did not answer or the replica was suspended.
// The error is that of decider.Peek.
func (i *identity) currentKeys(ctx context.Context) (keys, error) {
	if known := i.known.Load(); i.clock().Sub(known.at).Abs() < keysKept {
		return known.all, nil
	}
	if err := i.loadKeys(ctx); err != nil {
		return nil, err
	}
	return i.known.Load().all, nil
}

// signing returns the issuer with its current keys.
func (i *identity) signing(ctx context.Context) (iss issuer, err error) {
	iss = i.issuer
	iss.keys, err = i.currentKeys(ctx)
	return iss, err
}

// clock returns the service's time.
func (i *identity) clock() time.Time {
	if i.now == nil {
		return time.Now()
	}
	return i.now()
}

// listKeys publishes the keys that are not retired. A new one may be missing for keysKept; it does
// not sign before keyLead.
func (i *identity) listKeys(ctx context.Context, _ query.Keys, _ eventlog.Actor) (any, error) {
	all, err := i.currentKeys(ctx)
	if err != nil {
		return nil, err
	}
	set := query.Keyset{}
	for _, k := range all[all.retired(i.clock()):] {
		set.Keys = append(set.Keys, publicKey(k))
	}
	return set, nil
}

func publicKey(k key) query.Key {
	return query.Key{
		KeyType: "OKP", Curve: "Ed25519", Algorithm: "EdDSA", Use: "sig",
		KeyID: k.id, X: base64.RawURLEncoding.EncodeToString(k.public),
	}
}
