package rewrite

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/natsembed"
	"lonja/shop/codec"
)

// messages returns all messages of a stream.
func (d *data) messages(stream string) (all []stored) {
	d.t.Helper()
	_, err := d.each(d.t.Context(), stream, func(m stored) error { all = append(all, m); return nil })
	d.check(err)
	return all
}

// wantNothingPersonal fails the test if a file in a folder holds something of data.old.
func wantNothingPersonal(t *testing.T, dir string) {
	t.Helper()
	for path := range sums(t, dir) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range personal {
			if strings.Contains(string(content), text) {
				t.Errorf("%s holds %s", path, text)
			}
		}
	}
}

func TestRun_SealsWhatWasInPlainText(t *testing.T) {
	t.Parallel()
	d := newData(t)
	d.old()
	before := d.messages(accounts)
	steps := 0
	out, report, err := d.run(t.Context(), func(c *Config) {
		c.Progress = func(doing string) {
			steps++
			if _, err := os.Stat(c.Out); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("when it is %s, the copy is there already: %v", doing, err)
			}
		}
	})
	d.check(err)
	if steps < 5 {
		t.Errorf("%d steps were reported", steps)
	}
	wantNothingPersonal(t, out)
	want := map[string]uint64{"lonja.realm.opened.v1": 1, "lonja.realm.key_added.v1": 1, "lonja.user.registered.v1": 1, "lonja.user.password_changed.v1": 1}
	if !maps.Equal(report.Rewritten, want) || report.Events != 6 || report.MadeKEK != filepath.Join(out, kekFile) {
		t.Errorf("the report is %+v", report)
	}
	d.dir = out
	d.open(out)
	after := d.messages(accounts)
	if len(after) != len(before) {
		t.Fatalf("%d messages, want %d", len(after), len(before))
	}
	log := eventlog.New(d.js, codec.Events)
	log.Keys = d.ring()
	for i, was := range before {
		is := after[i]
		then, err := events.Decode(was.header.Get(eventlog.HeaderType), was.data)
		d.check(err)
		now := log.Read(accounts, is.sequence, is.subject, is.header, is.data)
		if !reflect.DeepEqual(now.Event, then) || now.Type != events.Type(then) {
			t.Errorf("event %d is %+v of type %s (%v), want %+v", i+1, now.Event, now.Type, now.Err, then)
		}
		was.header.Set(eventlog.HeaderType, events.Type(then))
		if is.sequence != was.sequence || is.subject != was.subject || !reflect.DeepEqual(is.header, was.header) {
			t.Errorf("message %d is %+v, want %+v", i+1, is, was)
		}
		if _, sealed := report.Rewritten["lonja."+strings.Replace(then.EventName(), ".v2", ".v1", 1)]; !sealed && string(is.data) != string(was.data) {
			t.Errorf("message %d is %s, want %s", i+1, is.data, was.data)
		}
	}
}

// An address that is in no event any more can still be in a file.
func TestRun_WritesDeadLettersAnew(t *testing.T) {
	t.Parallel()
	d := newData(t)
	d.old()
	d.raw("events.user.usr_bad.registered", "lonja.user.registered.v1", "no event")
	d.deadLetter("identity-on-identity", 4)
	d.deadLetter("identity-on-identity", 5)
	d.deadLetter("undecodable", 7)
	queue := bus.NewDeadLetterQueue(d.js)
	d.check(queue.Drop(t.Context(), d.deadLetter("identity-on-identity", 3)))
	_, err := queue.Retry(t.Context(), 1, declared)
	d.check(err)
	d.check(func() error { _, err := queue.Retry(t.Context(), 2, declared); return err }())
	d.deadLetter("orders-on-stock", 4)
	before := d.messages(bus.RetryStream)
	out, report, err := d.run(t.Context())
	d.check(err)
	wantNothingPersonal(t, out)
	if report.Emptied != 2 || !slices.Equal(report.NoEvents, []uint64{7}) {
		t.Errorf("the report is %+v", report)
	}
	d.open(out)
	letters, _, err := bus.NewDeadLetterQueue(d.js).List(t.Context(), 0, 10)
	d.check(err)
	if len(letters) != 2 || letters[0].Consumer != bus.Undecodable || letters[0].Data != "no event" ||
		letters[1].Sequence != 4 || letters[1].Data != "" || letters[1].Headers.Get(eventlog.HeaderID) != "" {
		t.Errorf("the dead letters are %+v", letters)
	}
	retried := d.messages(bus.RetryStream)
	if len(retried) != 2 || retried[0].subject != before[0].subject || len(retried[0].data) > 0 || !reflect.DeepEqual(retried[1].data, before[1].data) ||
		!reflect.DeepEqual(retried[1].header, before[1].header) {
		t.Errorf("what is being retried is %+v, and was %+v", retried, before)
	}
}

// What is sealed already stays byte for byte. What belongs to somebody who was erased is
// sealed with a key that nobody has.
func TestRun_KeepsTheSealedAndForgetsTheErased(t *testing.T) {
	t.Parallel()
	d := newData(t)
	d.old()
	ring := d.ring()
	d.record(ring, events.UserEmailClaimed{EmailID: "usr_at_bob", UserID: "usr_bob", Email: "bob@example.com", Name: "Bob", PasswordHash: hash + "3", Roles: []string{"customer"}})
	d.record(ring, events.UserRegistered{UserID: "usr_bob", EmailID: "usr_at_bob", Email: "bob@example.com", Name: "Bob", PasswordHash: hash + "3", Roles: []string{"customer"}})
	d.record(ring, events.UserErased{UserID: "usr_old", EmailID: "usr_old"})
	d.check(ring.Destroy(t.Context(), "usr_old"))
	before := d.messages(accounts)
	out, report, err := d.run(t.Context())
	d.check(err)
	wantNothingPersonal(t, out)
	if report.Forgotten != 2 || report.MadeKEK != "" {
		t.Errorf("the report is %+v", report)
	}
	d.dir = out
	d.open(out)
	after := d.messages(accounts)
	for i := 6; i < len(before); i++ {
		if string(before[i].data) != string(after[i].data) {
			t.Errorf("message %d is %s, want %s", i+1, after[i].data, before[i].data)
		}
	}
	log := eventlog.New(d.js, codec.Events)
	log.Keys = d.ring()
	want := events.UserRegistered{Sealed: events.Sealed{Withheld: true}, UserID: "usr_old", Roles: []string{"customer"}}
	if r := log.Read(accounts, 3, after[2].subject, after[2].header, after[2].data); !reflect.DeepEqual(r.Event, want) {
		t.Errorf("the erased account is %+v (%v), want %+v", r.Event, r.Err, want)
	}
}

func TestRun_ReactionsGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	d := newData(t)
	d.old()
	d.raw("events.session.ses_1.ended", "lonja.session.ended.v1", `{"session_id":"ses_1","user_id":"usr_old","reason":"logout"}`)
	d.acknowledge(1) // of three
	stream, err := d.js.Stream(t.Context(), accounts)
	d.check(err)
	_, err = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "somebody's"})
	d.check(err)
	out, report, err := d.run(t.Context())
	d.check(err)
	if !slices.Equal(report.Dropped, []string{"somebody's"}) {
		t.Errorf("dropped %q", report.Dropped)
	}
	d.open(out)
	cons, err := d.js.Consumer(t.Context(), accounts, "identity-on-identity")
	d.check(err)
	var got []uint64
	for range 2 {
		m, err := cons.Next()
		d.check(err)
		meta, err := m.Metadata()
		d.check(err)
		got = append(got, meta.Sequence.Stream)
	}
	if !slices.Equal(got, []uint64{5, 7}) || cons.CachedInfo().AckFloor.Stream != 4 {
		t.Errorf("delivered %d after %d, want 5 and 7 after 4", got, cons.CachedInfo().AckFloor.Stream)
	}
}

func TestRun_FailsAndLeavesNothing(t *testing.T) {
	interrupted, interrupt := context.WithCancel(context.Background()) // the test's ends before its parallel parts
	for name, test := range map[string]struct {
		prepare func(*data)
		ctx     context.Context
		change  func(*Config)
		want    string
	}{
		"an address elsewhere": {prepare: func(d *data) {
			d.check(os.WriteFile(filepath.Join(d.dir, "notes"), []byte("ask "+personal[0]), 0o600))
		}, want: "searching the files of the copy: plain text is left in 1 places: notes"},
		"an address in another stream": {prepare: func(d *data) {
			_, err := d.js.Publish(d.t.Context(), "deferred.orders.x", []byte(personal[0]))
			d.check(err)
		}, want: "searching the messages of the copy: plain text is left in 1 places: DEFERRED:1"},
		"a violation": {prepare: func(d *data) {
			d.raw("events.user.usr_x.roles_changed", "lonja.user.roles_changed.v1", `{"user_id":"usr_x","roles":["staff"]}`)
		}, want: "auditing the copy: 1 violations"},
		"an event of a newer version": {prepare: func(d *data) {
			d.raw("events.user.usr_old.painted", "lonja.user.painted.v1", `{}`)
		}, want: "reading the accounts: IDENTITY:7 is of the type lonja.user.painted.v1, which only a newer version knows"},
		"a file that is no file": {prepare: func(d *data) {
			d.check(os.Symlink("/dev/null", filepath.Join(d.dir, "link")))
		}, want: "is neither a file nor a folder"},
		"no key-encryption keys": {change: func(c *Config) { c.KEKs = filepath.Join(c.Data, "notes", "kek") }, want: "opening the copy: "},
		"other key-encryption keys": {prepare: func(d *data) {
			_, err := d.ring().MakeKey(d.t.Context(), "usr_old")
			d.check(err)
			d.check(os.Remove(filepath.Join(d.dir, kekFile)))
		}, want: "has no key"},
		"an interruption": {ctx: interrupted, change: func(c *Config) {
			c.Progress = func(doing string) {
				if doing == "writing the accounts, sealed" {
					interrupt()
				}
			}
		}, want: context.Canceled.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newData(t)
			d.old()
			if test.prepare != nil {
				test.prepare(d)
			}
			if test.ctx == nil {
				test.ctx = t.Context()
			}
			_, _, err := d.run(test.ctx, func(c *Config) {
				if test.change != nil {
					test.change(c)
				}
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestRun_NeedsAStoppedShopAndAFreeName(t *testing.T) {
	t.Parallel()
	d := newData(t)
	release, err := natsembed.LockDir(filepath.Join(d.dir, natsFolder))
	d.check(err)
	if _, _, err := d.run(t.Context()); !errors.Is(err, natsembed.ErrInUse) {
		t.Errorf("of a shop that runs: %v", err)
	}
	release()
	out := filepath.Join(filepath.Dir(d.dir), "out")
	for folders, want := range map[[2]string]string{
		{t.TempDir(), out}:                      "is not the data folder of a shop",
		{d.dir, filepath.Join(d.dir, "a", "b")}: "choose a folder that is not",
	} {
		if _, err := Run(t.Context(), Config{Data: folders[0], Out: folders[1]}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s to %s: %v, want %s", folders[0], folders[1], err, want)
		}
	}
	for _, taken := range []string{out, out + partial} {
		d.check(os.Mkdir(taken, 0o700))
		if _, err := Run(t.Context(), Config{Data: d.dir, Out: out}); err == nil || !strings.Contains(err.Error(), taken) {
			t.Errorf("with %s: %v", taken, err)
		}
		d.check(os.Remove(taken)) // which Run has left alone
	}
}
