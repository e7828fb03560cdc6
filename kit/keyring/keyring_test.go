package keyring_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/kittest"
)

// keysStream is the configuration of the stream of keys.
var keysStream = jetstream.StreamConfig{Name: keyring.Stream, Subjects: []string{keyring.Subject("*")}, DenyPurge: true, Discard: jetstream.DiscardNew, AllowDirect: true}

// fixture is a server with a stream of keys, and a file of key-encryption keys.
type fixture struct {
	*testing.T
	log  *kittest.Log
	file string
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t, kittest.New(t), filepath.Join(t.TempDir(), "kek")}
	f.createStream()
	if made, err := keyring.CreateKEKs(f.file); err != nil || !made {
		t.Fatalf("made a file: %v, %v", made, err)
	}
	return f
}

func (f *fixture) createStream() {
	f.Helper()
	if _, err := f.log.JS.CreateStream(f.Context(), keysStream); err != nil {
		f.Fatal(err)
	}
}

// ring returns the ring of another process, which has nothing in its cache.
func (f *fixture) ring() *keyring.Ring {
	f.Helper()
	keks, err := keyring.LoadKEKs(f.file)
	if err != nil {
		f.Fatal(err)
	}
	return keyring.New(f.log.JS, keks)
}

func (f *fixture) make(r *keyring.Ring, owner string) cipher.AEAD {
	f.Helper()
	key, err := r.MakeKey(f.Context(), owner)
	if err != nil {
		f.Fatal(err)
	}
	return key
}

// wrapped returns the bodies of an owner's messages on the stream.
func (f *fixture) wrapped(owner string) (bodies []body) {
	f.Helper()
	stream, err := f.log.JS.Stream(f.Context(), keyring.Stream)
	if err != nil {
		f.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(f.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			f.Fatal(err)
		}
		var b body
		if err := json.Unmarshal(m.Data, &b); err != nil {
			f.Fatal(err)
		}
		if m.Subject == keyring.Subject(owner) {
			bodies = append(bodies, b)
		}
	}
	return bodies
}

// body is a message of the stream, whose format is persistent.
type body struct {
	KEK, Key  string
	Destroyed bool
}

// stored reports whether the server's folder has a text anywhere.
func (f *fixture) stored(text string) (found bool) {
	f.Helper()
	err := filepath.WalkDir(f.log.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(text))
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	return found
}

// same reports whether two keys are the same one.
func same(a, b cipher.AEAD) bool {
	nonce := make([]byte, a.NonceSize())
	_, err := b.Open(nil, nonce, a.Seal(nil, nonce, []byte("x"), nil), nil)
	return err == nil
}

func TestRing_TwoProcessesThatMakeAKeyAtOnceHaveTheSame(t *testing.T) {
	f := setUp(t)
	for range 10 {
		owner := "usr_" + eventlog.NewID()
		keys := make([]cipher.AEAD, 4)
		var making sync.WaitGroup
		for i := range keys {
			ring := f.ring()
			making.Go(func() {
				var err error
				if keys[i], err = ring.MakeKey(t.Context(), owner); err != nil {
					t.Error(err)
				}
			})
		}
		making.Wait()
		if t.Failed() {
			return
		}
		for _, key := range keys[1:] {
			if !same(keys[0], key) {
				t.Fatal("two processes have different keys of one owner")
			}
		}
		if n := len(f.wrapped(owner)); n != 1 {
			t.Fatalf("the stream has %d keys of one owner", n)
		}
	}
}

func TestRing_OwnersHaveDifferentKeysThatAreNotStoredInPlain(t *testing.T) {
	f := setUp(t)
	ring := f.ring()
	a, b := f.make(ring, "a"), f.make(ring, "b")
	if same(a, b) {
		t.Error("two owners have the same key")
	}
	again, err := f.ring().Key("a")
	if err != nil || !same(a, again) {
		t.Errorf("another process has another key: %v", err)
	}
	if f.wrapped("a")[0].Key == f.wrapped("b")[0].Key {
		t.Error("two keys are wrapped the same")
	}
	if _, err := ring.Key("c"); !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "restore") {
		t.Errorf("the key of an owner without one: %v", err)
	}
	for _, owner := range []string{"", "a.b", "*", ">"} {
		if key, err := ring.MakeKey(t.Context(), owner); !errs.Is(err, errs.Invalid) {
			t.Errorf("owner %q: %v, %v", owner, key, err)
		}
	}
}

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestDestroy_EveryProcessForgetsTheKeyInTime(t *testing.T) {
	f := setUp(t)
	clock := &clock{now: time.Now()}
	here, there := f.ring(), f.ring()
	there.Clock = clock.Now
	f.make(here, "usr_1")
	if _, err := there.Key("usr_1"); err != nil {
		t.Fatal(err)
	}
	if err := here.Destroy(t.Context(), "usr_1"); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Key("usr_1"); !errors.Is(err, eventlog.ErrKeyDestroyed) {
		t.Errorf("the process that has destroyed it: %v", err)
	}
	clock.pass(keyring.CacheTTL)
	if _, err := there.Key("usr_1"); !errors.Is(err, eventlog.ErrKeyDestroyed) {
		t.Errorf("another process: %v", err)
	}
	for name, ring := range map[string]*keyring.Ring{"here": here, "there": there, "new": f.ring()} {
		if _, err := ring.MakeKey(t.Context(), "usr_1"); !errors.Is(err, eventlog.ErrKeyDestroyed) {
			t.Errorf("%s: it is made again: %v", name, err)
		}
		if err := ring.Destroy(t.Context(), "usr_1"); err != nil {
			t.Errorf("%s: it cannot be destroyed again: %v", name, err)
		}
	}
	if bodies := f.wrapped("usr_1"); len(bodies) != 1 || !bodies[0].Destroyed {
		t.Errorf("the stream has %+v", bodies)
	}
}

func TestDestroy_AnOwnerWithoutAKeyNeverGetsOne(t *testing.T) {
	f := setUp(t)
	if err := f.ring().Destroy(t.Context(), "usr_1"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ring().MakeKey(t.Context(), "usr_1"); !errors.Is(err, eventlog.ErrKeyDestroyed) {
		t.Errorf("it gets one: %v", err)
	}
}

func TestDestroy_NothingOfTheKeyIsLeftOnTheDisk(t *testing.T) {
	f := setUp(t)
	ring := f.ring()
	f.make(ring, "usr_1")
	f.make(ring, "usr_2")
	gone, stays := f.wrapped("usr_1")[0].Key, f.wrapped("usr_2")[0].Key
	if !f.stored(gone) || !f.stored(stays) {
		t.Fatal("the wrapped keys are not found in the server's folder, so this test shows nothing")
	}
	if err := ring.Destroy(t.Context(), "usr_1"); err != nil {
		t.Fatal(err)
	}
	if f.stored(gone) {
		t.Error("the key is still in the server's folder")
	}
	f.log.Server.Stop()
	if f.stored(gone) || !f.stored(stays) {
		t.Errorf("after the server's end, its folder has the destroyed key: %v, the other one: %v", f.stored(gone), f.stored(stays))
	}
}

// A process that dies between the two steps of Destroy has destroyed the key. Whoever repeats
// it erases the key, and so does a rotation.
func TestDestroy_ACrashBetweenItsStepsHeals(t *testing.T) {
	for name, heal := range map[string]func(*fixture) error{
		"by a repetition": func(f *fixture) error { return f.ring().Destroy(f.Context(), "usr_1") },
		"by a rotation":   func(f *fixture) error { return f.ring().Rewrap(f.Context(), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t)
			f.make(f.ring(), "usr_1")
			gone := f.wrapped("usr_1")[0].Key
			if _, err := f.log.JS.Publish(t.Context(), keyring.Subject("usr_1"), []byte(`{"destroyed":true}`)); err != nil {
				t.Fatal(err)
			}
			if _, err := f.ring().Key("usr_1"); !errors.Is(err, eventlog.ErrKeyDestroyed) {
				t.Errorf("after the first step: %v", err)
			}
			if err := heal(f); err != nil {
				t.Fatal(err)
			}
			if f.stored(gone) {
				t.Error("the key is still in the server's folder")
			}
		})
	}
}

func TestRing_IsUnavailableWithoutItsStreamAndWorksOnceItIsBack(t *testing.T) {
	f := setUp(t)
	clock := &clock{now: time.Now()}
	ring := f.ring()
	ring.Clock = clock.Now
	if err := f.log.JS.DeleteStream(t.Context(), keyring.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Key("usr_1"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("Key: %v", err)
	}
	if _, err := ring.MakeKey(t.Context(), "usr_1"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("MakeKey: %v", err)
	}
	if err := ring.Destroy(t.Context(), "usr_1"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("Destroy: %v", err)
	}
	if err := ring.Rewrap(t.Context(), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("Rewrap: %v", err)
	}
	if err := ring.Check(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Errorf("Check: %v", err)
	}
	f.createStream()
	clock.pass(2 * time.Second)
	if err := ring.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	f.make(ring, "usr_1")
}

// A cached key is used while the stream is away, but not for ever: it may be destroyed there.
func TestRing_ACachedKeyOutlivesItsStreamForItsTTLOnly(t *testing.T) {
	f := setUp(t)
	clock := &clock{now: time.Now()}
	ring := f.ring()
	ring.Clock = clock.Now
	f.make(ring, "usr_1")
	if err := f.log.JS.DeleteStream(t.Context(), keyring.Stream); err != nil {
		t.Fatal(err)
	}
	clock.pass(keyring.CacheTTL - time.Second)
	if _, err := ring.Key("usr_1"); err != nil {
		t.Errorf("within the TTL: %v", err)
	}
	clock.pass(time.Second)
	if _, err := ring.Key("usr_1"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("after the TTL: %v", err)
	}
}

// The stream is replaced by an empty one under a running process. It must not make a second
// key of an owner: the first one may come back.
func TestRing_MakesNoKeyForAnOwnerWhoseKeyTheStreamHasLost(t *testing.T) {
	f := setUp(t)
	clock := &clock{now: time.Now()}
	ring := f.ring()
	ring.Clock = clock.Now
	f.make(ring, "usr_1")
	stream, err := f.log.JS.Stream(t.Context(), keyring.Stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err == nil {
		err = f.log.JS.DeleteStream(t.Context(), keyring.Stream)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.createStream()
	clock.pass(keyring.CacheTTL)
	if _, err := ring.MakeKey(t.Context(), "usr_1"); !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "restore") {
		t.Errorf("the key that was lost: %v", err)
	}
	f.make(ring, "usr_2")
	if n := len(f.wrapped("usr_1")); n != 0 {
		t.Errorf("the stream has %d keys of the owner", n)
	}
	if _, err := f.log.JS.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Data: m.Data}); err != nil {
		t.Fatal(err)
	}
	f.make(ring, "usr_1") // the first one is back
}

func TestGiveUp_DestroysOnlyWhatTheStreamHasLost(t *testing.T) {
	f := setUp(t)
	f.make(f.ring(), "usr_1")
	operator := keyring.New(f.log.JS, nil)
	if err := operator.GiveUp(t.Context(), "usr_1"); !errs.Is(err, errs.Conflict) {
		t.Errorf("a key that is there: %v", err)
	}
	if _, err := f.ring().Key("usr_1"); err != nil {
		t.Errorf("it is not there any more: %v", err)
	}
	for range 2 { // it may be repeated
		if err := operator.GiveUp(t.Context(), "usr_2"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.ring().Key("usr_2"); !errors.Is(err, eventlog.ErrKeyDestroyed) {
		t.Errorf("a key that was lost: %v", err)
	}
}

// A key is bound to its subject: it cannot be given to another owner.
func TestRing_AKeyOfAnotherOwnerIsDamaged(t *testing.T) {
	f := setUp(t)
	f.make(f.ring(), "usr_1")
	stream, err := f.log.JS.Stream(t.Context(), keyring.Stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.log.JS.PublishMsg(t.Context(), &nats.Msg{Subject: keyring.Subject("usr_2"), Data: m.Data}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ring().Key("usr_2"); !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}

func TestRing_OneRequestServesAllWhoAskAtOnce(t *testing.T) {
	f := setUp(t)
	f.make(f.ring(), "usr_1")
	requests, err := f.log.Conn.SubscribeSync("$JS.API.STREAM.MSG.GET." + keyring.Stream)
	if err != nil {
		t.Fatal(err)
	}
	ring := f.ring()
	var asking sync.WaitGroup
	for range 100 {
		asking.Go(func() {
			if _, err := ring.Key("usr_1"); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if err := f.log.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := requests.Pending(); err != nil || n > 5 {
		t.Errorf("%d requests, %v", n, err)
	}
}

func TestPermissionsToUse_AreEnough(t *testing.T) {
	p := keyring.PermissionsToUse().Sorted()
	for _, subject := range []string{"$JS.API.STREAM.INFO.KEYS", "$JS.API.STREAM.MSG.DELETE.KEYS", "$JS.API.STREAM.MSG.GET.KEYS", "keys.*"} {
		if !slices.Contains(p.Publish, subject) {
			t.Errorf("%s is not among %v", subject, p.Publish)
		}
	}
	if len(p.Publish) != 4 || len(p.Subscribe) != 0 {
		t.Errorf("more than needed: %+v", p)
	}
}
