package keyring

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sync/singleflight"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// Stream is the name of the stream of keys. It must not have deny_delete, and must keep every
// message: the server does not overwrite on its disk what a limit removes.
const Stream = "KEYS"

// Subject returns the subject of an owner's key on Stream. The owner may be "*".
func Subject(owner string) string { return prefix + owner }

const prefix = "keys."

// CacheTTL is how long a Ring may use a key without asking the stream for it again: how long
// after Destroy another process may still open what the key sealed.
const CacheTTL = 30 * time.Second

const (
	// cached is how many keys a Ring has in memory: those that it used last.
	cached = 10_000
	// requestTimeout limits one request for a key.
	requestTimeout = 2 * time.Second
	// outageTTL is how long after a request that was not answered others fail at once.
	outageTTL = time.Second
)

// Ring is the keys of a stream. It implements eventlog.KeyRing and is safe for concurrent
// use.
type Ring struct {
	// Clock returns the time by which cached keys expire. New sets it to time.Now. It may be
	// changed before the first use.
	Clock func() time.Time

	stream  keyStream
	keks    *KEKs
	writing sync.Mutex // held to change keys, so that a key which was on its way does not replace its destruction
	keys    *lru.Cache[string, entry]
	fetches singleflight.Group
	outage  atomic.Pointer[outage]
}

var _ eventlog.KeyRing = (*Ring)(nil)

// entry is a key in the cache, or that it was destroyed, which never changes.
type entry struct {
	key       cipher.AEAD
	destroyed bool
	expires   time.Time
}

// outage is why the stream could not be asked, and when.
type outage struct {
	err error
	at  time.Time
}

// New returns the ring of the keys that the connection of js reaches. It asks nothing; see
// Check. A ring that only destroys keys needs no keks: they may be nil.
func New(js jetstream.JetStream, keks *KEKs) *Ring {
	keys, err := lru.New[string, entry](cached)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Ring{Clock: time.Now, stream: keyStream{js}, keks: keks, keys: keys}
}

// PermissionsToUse returns what a Ring must be allowed to do on NATS.
func PermissionsToUse() natsauth.Permissions {
	p := natsauth.AllowGet(Stream)
	p.Add(natsauth.AllowPublish(Subject("*")), natsauth.AllowDelete(Stream))
	return p
}

// Used reports whether the stream holds keys, or did before they were destroyed. Then a new
// file of key-encryption keys is of no use: the one that wrapped them is needed.
func Used(ctx context.Context, js jetstream.JetStream) (bool, error) {
	_, err := keyStream{js}.last(ctx, prefix+">")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(err, "the stream %s does not answer", Stream)
	}
	return true, nil
}

// Check verifies that the stream answers and that the file of key-encryption keys has those
// that wrap the oldest and the latest key. The error tells what to do if it has not. Call it
// at the start, so that a wrong file is noticed before new keys are wrapped by it.
func (r *Ring) Check(ctx context.Context) error {
	oldest, err := r.stream.next(ctx, prefix+">", 1)
	var latest stored
	if err == nil {
		latest, err = r.stream.last(ctx, prefix+">")
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return unavailable(err, "the stream %s does not answer", Stream)
	}
	for _, key := range []stored{oldest, latest} {
		if key.Destroyed {
			continue
		}
		if _, err := r.unwrap(key); err != nil {
			return err
		}
	}
	return nil
}

// Key implements eventlog.KeyRing. An owner that has no key is an error: the key was made
// before anything was sealed by it, so the stream has lost it. The error then says to restore
// the stream. All errors but ErrKeyDestroyed are errs.Unavailable.
func (r *Ring) Key(owner string) (cipher.AEAD, error) {
	key, err := r.cachedKey(owner)
	if key == nil && err == nil {
		key, err = r.fetch(owner)
	}
	if errors.Is(err, errNoKey) {
		return nil, lost(owner)
	}
	return key, err
}

// lost is the error for a key that the stream does not have although something is sealed by it.
func lost(owner string) error {
	return errs.New(errs.Unavailable, "%s has no key of %s: restore the stream from its newest backup; if no backup has the key, give up what it sealed with lonja keys destroy %s", Stream, owner, owner)
}

// MakeKey implements eventlog.KeyRing. When two processes make a key of one owner at once,
// both get the same. Errors are those of Key. It may be repeated after any error. The stream
// may lose a key that this ring has used, as when an older backup is restored. Another key in
// its place would make what the first one sealed unreadable for good, even once the stream is
// as it was; so none is made.
func (r *Ring) MakeKey(ctx context.Context, owner string) (cipher.AEAD, error) {
	for {
		key, err := r.cachedKey(owner)
		if key == nil && err == nil {
			key, err = r.fetch(owner)
		}
		if !errors.Is(err, errNoKey) {
			return key, err
		}
		if r.keys.Contains(owner) { // expired keys stay until others take their places
			return nil, lost(owner)
		}
		key, err = r.create(ctx, owner)
		if !eventlog.IsConflict(err) { // otherwise another process was faster
			return key, err
		}
	}
}

// errNoKey means that the stream has never had a key of an owner.
var errNoKey = errors.New("there is no key")

// cachedKey returns an owner's key from the cache, nil if it has to be fetched.
func (r *Ring) cachedKey(owner string) (cipher.AEAD, error) {
	e, ok := r.keys.Get(owner)
	switch {
	case !ok:
		return nil, nil
	case e.destroyed:
		return nil, destroyed(owner)
	case r.Clock().Before(e.expires):
		return e.key, nil
	}
	return nil, nil
}

func destroyed(owner string) error { return fmt.Errorf("%s: %w", owner, eventlog.ErrKeyDestroyed) }

// fetch asks the stream for an owner's key. Callers that ask for the same one share a request.
func (r *Ring) fetch(owner string) (cipher.AEAD, error) {
	found, err, _ := r.fetches.Do(owner, func() (any, error) { return r.fetchNow(owner) })
	if err != nil {
		return nil, err
	}
	return found.(cipher.AEAD), nil
}

func (r *Ring) fetchNow(owner string) (cipher.AEAD, error) {
	if err := eventlog.CheckEntityID("owner of a key", owner); err != nil {
		return nil, err
	}
	now := r.Clock() // before the request: the key may be destroyed meanwhile
	if o := r.outage.Load(); o != nil && now.Sub(o.at) < outageTTL {
		return nil, o.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	last, err := r.stream.last(ctx, Subject(owner))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errNoKey
	}
	if err != nil {
		err = unavailable(err, "the stream %s does not answer, so the key of %s cannot be had now", Stream, owner)
		r.outage.Store(&outage{err, r.Clock()})
		return nil, err
	}
	if last.Destroyed {
		r.forget(owner)
		return nil, destroyed(owner)
	}
	raw, err := r.unwrap(last)
	if err != nil {
		return nil, err
	}
	return r.keep(owner, raw, now)
}

// forget replaces a key in the cache by its destruction.
func (r *Ring) forget(owner string) {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.keys.Add(owner, entry{destroyed: true})
}

// keep puts a key into the cache that the stream had at a time.
func (r *Ring) keep(owner string, raw []byte, since time.Time) (cipher.AEAD, error) {
	key, err := chacha20poly1305.NewX(raw)
	if err != nil {
		return nil, err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if e, ok := r.keys.Peek(owner); ok && e.destroyed {
		return nil, destroyed(owner)
	}
	r.keys.Add(owner, entry{key: key, expires: since.Add(CacheTTL)})
	return key, nil
}

// create makes a key of an owner that has none. The error is a conflict if it has one now.
func (r *Ring) create(ctx context.Context, owner string) (cipher.AEAD, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	raw, now := make([]byte, keySize), r.Clock()
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	wrapped, err := r.wrap(owner, raw)
	if err != nil {
		return nil, err
	}
	if _, err := r.stream.append(ctx, owner, 0, wrapped); err != nil {
		if eventlog.IsConflict(err) {
			return nil, err
		}
		return nil, unavailable(err, "the key of %s could not be made now; try again with the same id", owner)
	}
	return r.keep(owner, raw, now)
}

// wrap encrypts a key for the stream.
func (r *Ring) wrap(owner string, raw []byte) (Message, error) {
	by, err := r.keks.wrapping()
	if err != nil {
		return Message{}, unavailable(err, "the key of %s could not be wrapped", owner)
	}
	nonce := make([]byte, by.NonceSize(), by.NonceSize()+len(raw)+by.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return Message{}, err
	}
	return Message{KEK: by.id, Key: by.Seal(nonce, nonce, raw, []byte(Subject(owner)))}, nil
}

// unwrap decrypts a key of the stream.
func (r *Ring) unwrap(s stored) ([]byte, error) {
	by, err := r.keks.find(s.KEK)
	if err != nil {
		return nil, unavailable(err, "the key of %s cannot be unwrapped", s.owner)
	}
	if n := by.NonceSize(); len(s.Key) > n {
		if raw, err := by.Open(nil, s.Key[:n], s.Key[n:], []byte(Subject(s.owner))); err == nil {
			return raw, nil
		}
	}
	return nil, errs.New(errs.Unavailable, "the key of %s, at %s, is damaged: restore the stream from its backup", s.owner, eventlog.Position(Stream, s.sequence))
}

// unavailable gives an error the code errs.Unavailable, with what it prevents.
func unavailable(err error, format string, args ...any) error {
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, format, args...), err)
}
