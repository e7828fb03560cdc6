package rewrite

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/events"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/service"
	"lonja/kit/streams"
	"lonja/shop/codec"
)

// data is the data folder of a shop that is stopped.
type data struct {
	*store // while it is open
	dir    string
	t      *testing.T
}

var declared = func() *streams.Config {
	config, err := streams.Parse(lonja.StreamsYAML)
	if err != nil {
		panic(err)
	}
	return config
}()

// newData makes a data folder with empty streams, and opens it.
func newData(t *testing.T) *data {
	d := &data{dir: filepath.Join(t.TempDir(), "data"), t: t}
	d.open(d.dir)
	d.check(declared.Apply(t.Context(), d.js, 0))
	return d
}

func (d *data) open(dir string) {
	d.t.Helper()
	var err error
	d.store, err = openStore(dir)
	d.check(err)
	opened := d.store
	d.t.Cleanup(opened.close)
}

func (d *data) check(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// raw records a message, as the program of any version could.
func (d *data) raw(subject, typ, body string) {
	d.t.Helper()
	last := uint64(0)
	stream, err := d.js.Stream(d.t.Context(), accounts)
	d.check(err)
	m, err := stream.GetLastMsgForSubject(d.t.Context(), subject)
	if err == nil {
		last = m.Sequence
	} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
		d.t.Fatal(err)
	}
	header := eventlog.Envelope{ID: eventlog.NewID(), Type: typ, Time: time.Now(), Causation: eventlog.NewID(), Actor: eventlog.Actor{ID: "usr_old"}}.Header()
	header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(last))
	_, err = d.js.PublishMsg(d.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(body)})
	d.check(err)
}

// record records an event in its newest version.
func (d *data) record(keys eventlog.KeyRing, e events.Event) {
	d.t.Helper()
	log := eventlog.New(d.js, codec.Events)
	log.Keys = keys
	body, err := log.Encode(d.t.Context(), e)
	d.check(err)
	d.raw(events.Subject(e), events.Type(e), string(body))
}

// ring returns the keys of the folder, and makes the file of key-encryption keys.
func (d *data) ring() *keyring.Ring {
	d.t.Helper()
	_, err := keyring.CreateKEKs(filepath.Join(d.dir, kekFile))
	d.check(err)
	keks, err := keyring.LoadKEKs(filepath.Join(d.dir, kekFile))
	d.check(err)
	return keyring.New(d.js, keks)
}

func (d *data) deadLetter(consumer string, sequence uint64) uint64 {
	d.t.Helper()
	stream, err := d.js.Stream(d.t.Context(), accounts)
	d.check(err)
	m, err := stream.GetMsg(d.t.Context(), sequence)
	d.check(err)
	_, err = bus.NewDeadLetterQueue(d.js).Add(d.t.Context(), bus.DeadLetter{Consumer: consumer, Stream: accounts, Sequence: sequence,
		Subject: m.Subject, Reason: "it says " + string(m.Data), Headers: m.Header, Data: string(m.Data)})
	d.check(err)
	queue, err := d.js.Stream(d.t.Context(), bus.DeadLetterStream)
	d.check(err)
	return queue.CachedInfo().State.LastSeq
}

// old records what an earlier version recorded: the issuer and an account.
func (d *data) old() {
	d.raw("events.realm.main.opened", "lonja.realm.opened.v1", `{"secret":"`+secret+`"}`)
	d.raw("events.realm.main.key_added", "lonja.realm.key_added.v1", `{"key_id":"k1","seed":"`+seed+`"}`)
	d.raw("events.user.usr_old.registered", "lonja.user.registered.v1",
		`{"user_id":"usr_old","name":"Ana","email":"o'hara&co@example.com","password_hash":"`+hash+`","roles":["customer"]}`)
	d.raw("events.user.usr_old.password_changed", "lonja.user.password_changed.v1", `{"user_id":"usr_old","password_hash":"`+hash+`2"}`)
	d.raw("events.user.usr_old.roles_changed", "lonja.user.roles_changed.v1", `{"user_id":"usr_old","roles":["staff"]}`)
	d.raw("events.session.ses_1.started", "lonja.session.started.v1", `{"session_id":"ses_1","user_id":"usr_old","token_hash":"x","expires_at":"2026-01-01T00:00:00Z"}`)
}

const (
	secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
	seed   = "c2VlZHNlZWRzZWVkc2VlZHNlZWRzZWVkc2VlZHNlZWQ="
	hash   = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"
)

// personal is everything of old that must not be in a copy.
var personal = []string{"o'hara&co@example.com", `o'hara\u0026co@example.com`, secret, seed, hash}

// acknowledge lets the shared consumer of the accounts acknowledge n messages.
func (d *data) acknowledge(n int) {
	d.t.Helper()
	cons, err := d.js.Consumer(d.t.Context(), accounts, "identity-on-identity")
	d.check(err)
	for range n {
		m, err := cons.Next(jetstream.FetchMaxWait(5 * time.Second))
		d.check(err)
		d.check(m.DoubleAck(d.t.Context()))
	}
}

// run rewrites the folder, which it closes, and returns the copy, not opened.
func (d *data) run(ctx context.Context, change ...func(*Config)) (out string, r *Report, err error) {
	d.t.Helper()
	d.store.close()
	out = filepath.Join(filepath.Dir(d.dir), "out")
	config := Config{Data: d.dir, Out: out, Streams: declared, Codec: codec.Events, Services: func() []*service.Service { return nil }}
	for _, c := range change {
		c(&config)
	}
	before := sums(d.t, d.dir)
	r, err = Run(ctx, config)
	if after := sums(d.t, d.dir); !maps.Equal(before, after) {
		d.t.Errorf("the folder has changed:\n%v\nbefore\n%v", after, before)
	}
	if _, left := os.Stat(out + partial); !errors.Is(left, fs.ErrNotExist) {
		d.t.Errorf("%s is left: %v", out+partial, left)
	}
	if _, there := os.Stat(out); (there == nil) != (err == nil) {
		d.t.Errorf("the copy: %v; the error: %v", there, err)
	}
	return out, r, err
}

// sums returns the hashes of all files in a folder, and their modes.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".lock" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		found[path] = fmt.Sprintf("%v %x", info.Mode(), sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
