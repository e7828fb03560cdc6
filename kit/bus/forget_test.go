package bus_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/natsembed"
	"lonja/kit/streams"
)

const forgetStreams = `
streams:
  - {name: COUNTERS, subjects: [events.counter.>], deny_delete: true}
  - name: DEADLETTERS
    subjects: [deadletters.>]
    allow_direct: true
  - name: RETRIES
    subjects: [retries.>]
    retention: workqueue
  - name: DEFERRED
    subjects: [deferred.>, outcomes.>]
    allow_direct: true
    consumers:
      - {durable_name: counters-deferred, filter_subjects: [deferred.counters.>], ack_policy: explicit}
`

// keep is a command.
type keep struct{}

func (keep) CommandName() string { return "counters.keep" }
func (keep) EntityID() string    { return "c" }
func (keep) Check() error        { return nil }

// connectAs connects as an identity, and fails the test when it is denied something.
func connectAs(t *testing.T, url, keys, identity string) jetstream.JetStream {
	t.Helper()
	key, err := natsauth.LoadKey(keys, identity)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(url, nats.Nkey(public, key.Sign), nats.CustomInboxPrefix(natsauth.InboxPrefix(identity)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Error(err) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// The service that forgets has the permissions for that, and to read its own stream.
func TestForget_NeedsNoOtherPermissions(t *testing.T) {
	p := bus.PermissionsToForget()
	p.Add(natsauth.AllowInbox("forgetful"), natsauth.AllowGet("COUNTERS"))
	keys := filepath.Join(t.TempDir(), "keys")
	users, err := natsauth.Users(keys, []natsauth.Identity{{Name: "operator", Permissions: natsauth.AllowAll()}, {Name: "forgetful", Permissions: p}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncInterval: time.Minute, Users: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	js := connectAs(t, server.URL(), keys, "operator")
	config, err := streams.Parse([]byte(forgetStreams))
	if err == nil {
		err = config.Apply(t.Context(), js, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	publish := func(subject string, header nats.Header) {
		t.Helper()
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	anas, own := nats.Header{eventlog.HeaderActor: {"ana"}}, nats.Header{bus.HeaderDeadLetterSubject: {"events.counter.ana.added"}}
	for _, id := range []string{"done", "waits"} {
		if err := bus.NewClient(js.Conn()).Defer(t.Context(), keep{}, eventlog.Envelope{ID: id, Actor: eventlog.Actor{ID: "ana"}}); err != nil {
			t.Fatal(err)
		}
	}
	publish("outcomes.done", anas)
	publish("outcomes.done", anas) // it was retried
	publish("events.counter.ana.added", nil)
	publish("retries.counters.counters-deferred.DEFERRED.1", anas)
	publish("retries.counters.counters-echo.COUNTERS.1", own)
	publish("retries.counters.counters-echo.COUNTERS.2", own) // the event because of which ana is forgotten
	publish("retries.counters.counters-echo.COUNTERS.3", nil)
	queue := bus.NewDeadLetterQueue(js)
	for _, l := range []bus.DeadLetter{
		{Consumer: "counters-echo", Stream: "COUNTERS", Sequence: 1, Subject: "events.counter.ana.added"},
		{Consumer: "counters-retries", Stream: bus.RetryStream, Sequence: 1, Subject: "retries.counters.counters-echo.COUNTERS.1"},
	} {
		if _, err := queue.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}

	owner := bus.Owner{ID: "ana", Subjects: []string{"events.counter.ana.>"}}
	forgetful := connectAs(t, server.URL(), keys, "forgetful")
	for _, want := range []bus.Forgotten{{Erased: 5, Pending: 3}, {Pending: 3}} {
		found, err := bus.Forget(t.Context(), forgetful, config, owner, eventlog.Record{Stream: "COUNTERS", Sequence: 2})
		if err != nil || found != want {
			t.Errorf("%+v, want %+v (%v)", found, want, err)
		}
	}
	if _, err := bus.Forget(t.Context(), forgetful, config, bus.Owner{}, eventlog.Record{}); err == nil || errs.Is(err, errs.Unavailable) {
		t.Errorf("an owner without an id: %v", err)
	}
}
