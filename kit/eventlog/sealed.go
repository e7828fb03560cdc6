package eventlog

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lonja/kit/errs"
)

// Sealed is embedded in the struct of an event some of whose members are sealed: their
// fields have the tag sealed:"true". Such an event also has a method KeyOwner; see
// KeyOwner. Only NewCodec needs this type; a Codec of another make may do without it.
//
// On the wire, the sealed members are replaced by one:
//
//	"sealed": {"for": "usr_1", "data": "<base64>"}
//
// Data is a random nonce, followed by the encrypted JSON object of the members. The
// event's type, its subject and the owner of the key are authenticated with it. So what one
// event holds cannot be moved to an event of another type, entity or owner.
type Sealed struct {
	// Withheld reports that the sealed fields are empty because this program cannot open
	// them: it has no keys, or the owner's was destroyed. Check must allow that. An event
	// with Withheld is never recorded.
	Withheld bool `json:"withheld,omitempty"`
}

// KeyOwner is an event with sealed members. KeyOwner returns whose key seals them, which is
// one token of a subject. It must not depend on a sealed field.
type KeyOwner interface{ KeyOwner() string }

// KeyRing holds the keys that seal events, one for each owner. It is safe for concurrent
// use. The keys must have nonces that may be random, of 24 bytes or so, as
// XChaCha20-Poly1305 has.
type KeyRing interface {
	// Key returns an owner's key. The error is ErrKeyDestroyed if it was destroyed; any
	// other one means that the key cannot be had now. Key returns within a few seconds.
	Key(owner string) (cipher.AEAD, error)
	// MakeKey is Key, and makes a key for an owner that has never had one.
	MakeKey(ctx context.Context, owner string) (cipher.AEAD, error)
}

// ErrKeyDestroyed means that the key of an owner was destroyed. What it sealed can never be
// read again, and nothing more can be sealed for the owner.
var ErrKeyDestroyed = errors.New("the key was destroyed")

// The members of a payload that belong to sealing.
const (
	sealedMember   = "sealed"
	withheldMember = "withheld"
)

// sealedPart is the value of the member "sealed".
type sealedPart struct {
	For  string `json:"for"`
	Data []byte `json:"data"`
}

// sealedMembers returns the members of a type that are sealed, nil for none.
func (c Codec) sealedMembers(typ string) []string {
	if c.Sealed == nil {
		return nil
	}
	return c.Sealed(typ)
}

// Encode returns the payload with which Append would record an event. Errors are those of
// Append before it publishes. Two calls with the same event return different bytes if the
// event has sealed members.
func (l *Log) Encode(ctx context.Context, e Event) ([]byte, error) {
	return l.encode(ctx, l.codec.Type(e), e)
}

// encode returns the payload of an event, sealed if the type has sealed members.
func (l *Log) encode(ctx context.Context, typ string, e Event) ([]byte, error) {
	data, err := l.codec.Encode(e)
	members := l.codec.sealedMembers(typ)
	if err != nil || members == nil {
		return data, err
	}
	of, ok := e.(KeyOwner)
	if !ok {
		return nil, fmt.Errorf("%s: it has sealed members and no method KeyOwner", typ)
	}
	if l.Keys == nil {
		return nil, fmt.Errorf("%s has sealed members, and this program has no keys to seal them", typ)
	}
	key, err := l.Keys.MakeKey(ctx, of.KeyOwner())
	switch _, coded := errs.As(err); {
	case errors.Is(err, ErrKeyDestroyed):
		return nil, fmt.Errorf("%w: %w", errs.New(errs.Conflict, "what was sealed for %s is erased, and nothing more can be recorded for it", of.KeyOwner()), err)
	case err != nil && !coded:
		return nil, fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the key of %s cannot be had now; try again with the same id", of.KeyOwner()), err)
	case err != nil:
		return nil, err
	}
	if data, err = seal(key, place{typ, l.codec.Subject(e), of.KeyOwner()}, members, data); err != nil {
		return nil, fmt.Errorf("%s: %w", typ, err)
	}
	return data, nil
}

// seal replaces the members of a payload by one that holds them encrypted.
func seal(key cipher.AEAD, at place, members []string, data []byte) ([]byte, error) {
	if err := CheckEntityID("owner of the key", at.owner); err != nil {
		return nil, err
	}
	all, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	var outer, inner object
	for _, m := range all {
		switch {
		case m.name == withheldMember, m.name == sealedMember:
			return nil, fmt.Errorf("an event with the member %q cannot be recorded", m.name)
		case slices.Contains(members, m.name):
			inner = append(inner, m)
		default:
			outer = append(outer, m)
		}
	}
	plain := inner.text()
	nonce := make([]byte, key.NonceSize(), key.NonceSize()+len(plain)+key.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	part, err := json.Marshal(sealedPart{at.owner, key.Seal(nonce, nonce, plain, at.authenticated())})
	if err != nil {
		return nil, err
	}
	return append(outer, member{sealedMember, part}).text(), nil
}

// place is where sealed members belong: to an event of a type, on a subject, sealed by an
// owner's key. None of the three has a zero byte.
type place struct{ typ, subject, owner string }

// authenticated is what is authenticated with the members.
func (p place) authenticated() []byte {
	return []byte(p.typ + "\x00" + p.subject + "\x00" + p.owner)
}

// decode returns the event that a payload on a subject holds. Unavailable reports that the
// reason of the error is a key that cannot be had now.
func (l *Log) decode(typ, subject string, data []byte) (e Event, unavailable bool, err error) {
	members := l.codec.sealedMembers(typ)
	if members == nil {
		e, err = l.codec.Decode(typ, data)
		return e, false, err
	}
	outer, part, err := splitSealed(data, members)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", typ, err)
	}
	key, noKey := l.key(part.For)
	if noKey == nil {
		inner, err := open(key, place{typ, subject, part.For}, members, part.Data)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", typ, err)
		}
		outer = append(outer, inner...)
	} else {
		outer = append(outer, member{withheldMember, []byte("true")})
	}
	if e, err = l.codec.Decode(typ, outer.text()); err != nil {
		return nil, false, err
	}
	if of, ok := e.(KeyOwner); !ok || of.KeyOwner() != part.For {
		return nil, false, fmt.Errorf("%s: it is sealed for %q, which is not its owner", typ, part.For)
	}
	if noKey != nil && !errors.Is(noKey, ErrKeyDestroyed) {
		return nil, true, fmt.Errorf("%s is sealed for %s, whose key cannot be had now: %w", typ, part.For, noKey)
	}
	return e, false, nil
}

// key returns the key to open an event with. A program without keys has none of any owner.
func (l *Log) key(owner string) (cipher.AEAD, error) {
	if l.Keys == nil {
		return nil, ErrKeyDestroyed
	}
	return l.Keys.Key(owner)
}

// splitSealed returns the members of a payload that are in plain text, and the sealed part.
func splitSealed(data []byte, members []string) (outer object, part sealedPart, err error) {
	all, err := parseObject(data)
	if err != nil {
		return nil, part, err
	}
	reserved := append(slices.Clip(members), withheldMember)
	var sealed []byte
	for _, m := range all {
		if m.name == sealedMember {
			sealed = m.value
			continue
		}
		for _, name := range reserved {
			if strings.EqualFold(m.name, name) { // encoding/json takes names in any case
				return nil, part, fmt.Errorf("the member %q cannot be in plain text", m.name)
			}
		}
		outer = append(outer, m)
	}
	if sealed == nil {
		return nil, part, fmt.Errorf("it has no member %q", sealedMember)
	}
	if err := json.Unmarshal(sealed, &part); err != nil {
		return nil, part, fmt.Errorf("member %q: %w", sealedMember, unquoted(err))
	}
	return outer, part, CheckEntityID(sealedMember+".for", part.For)
}

// open returns the sealed members of a payload.
func open(key cipher.AEAD, at place, members []string, data []byte) (object, error) {
	if len(data) < key.NonceSize() {
		return nil, fmt.Errorf("member %q: the data has %d bytes, which is less than a nonce", sealedMember, len(data))
	}
	nonce, encrypted := data[:key.NonceSize()], data[key.NonceSize():]
	plain, err := key.Open(nil, nonce, encrypted, at.authenticated())
	if err != nil {
		return nil, fmt.Errorf("member %q: the data was not sealed for %s in an event of this type on this subject, or was changed", sealedMember, at.owner)
	}
	inner, err := parseObject(plain)
	if err != nil {
		return nil, fmt.Errorf("member %q holds no JSON object", sealedMember) // the error would show what it holds
	}
	// Members that a newer program has sealed besides are ignored, like others.
	return slices.DeleteFunc(inner, func(m member) bool { return !slices.Contains(members, m.name) }), nil
}
