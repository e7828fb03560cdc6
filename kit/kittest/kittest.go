package kittest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/natsembed"
	"lonja/kit/streams"
)

// Log is the event log of the counters, on a server of its own.
type Log struct {
	*eventlog.Log
	Conn   *nats.Conn // reconnects without limit
	JS     jetstream.JetStream
	Server *natsembed.Server
	Dir    string // the folder of the server's store
	t      testing.TB
}

// New starts a server on a free port, with the streams COUNTERS, DEADLETTERS and TIMERS,
// and connects to it. The server syncs its store once a minute. It stops when the test
// ends.
func New(t testing.TB) *Log {
	t.Helper()
	return start(t, natsembed.Config{SyncInterval: time.Minute})
}

// NewSynced is New with a server that syncs each message before it is acknowledged.
func NewSynced(t testing.TB) *Log {
	t.Helper()
	return start(t, natsembed.Config{SyncAlways: true})
}

func start(t testing.TB, c natsembed.Config) *Log {
	t.Helper()
	c.Dir, c.Addr = t.TempDir(), "127.0.0.1:0"
	server, js, err := open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	t.Cleanup(js.Conn().Close)
	for _, c := range []jetstream.StreamConfig{
		{Name: Stream, Subjects: []string{"events.counter.>"}, AllowDirect: true},
		{Name: "DEADLETTERS", Subjects: []string{"deadletters.>"}, AllowDirect: true},
		{Name: "TIMERS", Subjects: []string{"timers.>"}, AllowDirect: true, AllowMsgSchedules: true, AllowMsgTTL: true, AllowRollup: true},
	} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return &Log{Log: eventlog.New(js, Codec), Conn: js.Conn(), JS: js, Server: server, Dir: c.Dir, t: t}
}

// open starts a server and connects to it. The connection survives restarts of the server.
func open(c natsembed.Config) (*natsembed.Server, jetstream.JetStream, error) {
	server, err := natsembed.Start(c)
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect(server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		server.Stop()
		return nil, nil, err
	}
	return server, js, nil
}

// Add appends an Added event, whatever the state of the counter is, and returns its
// sequence.
func (l *Log) Add(counter string, by int) uint64 {
	l.t.Helper()
	id := eventlog.NewID()
	header := eventlog.Envelope{ID: id, Type: addedType, Causation: "test-" + id, Time: time.Now()}.Header()
	data, err := json.Marshal(Added{counter, by})
	if err != nil {
		l.t.Fatal(err)
	}
	home, _, err := l.Home(l.t.Context(), Stream, "events.counter."+counter+".>")
	if err != nil {
		l.t.Fatal(err)
	}
	return l.publish(streams.SubjectOn(home, addedSubject(counter)), header, data)
}

// Grow gives the stream COUNTERS n partitions, and returns the log as a process sees it that is
// started afterwards. This one stays as it is.
func (l *Log) Grow(n int) *Log {
	l.t.Helper()
	counters := streams.Stream{StreamConfig: jetstream.StreamConfig{Name: Stream, Subjects: []string{"events.counter.>"}, AllowDirect: true}}
	config := &streams.Config{Streams: []streams.Stream{counters}}
	config, err := config.Grow(l.t.Context(), l.JS, map[string]int{Stream: n})
	if err == nil {
		err = config.Apply(l.t.Context(), l.JS, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	grown := *l
	grown.Log = eventlog.New(l.JS, Codec)
	grown.Log.Layout = config.Layout
	return &grown
}

// Poison publishes a poison message, one without an envelope, and returns its sequence.
// The subject must belong to a stream.
func (l *Log) Poison(subject, data string) uint64 {
	l.t.Helper()
	return l.publish(subject, nil, []byte(data))
}

func (l *Log) publish(subject string, header nats.Header, data []byte) uint64 {
	l.t.Helper()
	ack, err := l.JS.PublishMsg(l.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: data})
	if err != nil {
		l.t.Fatal(err)
	}
	return ack.Sequence
}
