// Package toy is a language of one event, and a log for it, with which the kit
// is tested without any shop.
package kittest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest/baddisk"
	"lonja/kit/natsembed"
)

// Added says that a counter was added to.
type Added struct {
	Counter string `json:"counter"`
	By      int    `json:"by"`
}

// EventName implements eventlog.Event.
func (Added) EventName() string { return "counter.added.v1" }

// NewEntityID implements eventlog.Event.
func (a Added) EntityID() string { return a.Counter }

// Check implements eventlog.Event.
func (a Added) Check() error {
	if a.Counter == "" {
		return errors.New("counter must not be empty")
	}
	return nil
}

// Codec speaks of Added only.
var Codec = eventlog.Codec{
	Type:    func(e eventlog.Event) string { return "toy." + e.EventName() },
	Subject: func(e eventlog.Event) string { return "events.counter." + e.EntityID() + ".added" },
	Encode:  func(e eventlog.Event) ([]byte, error) { return json.Marshal(e) },
	Decode: func(typ string, data []byte) (eventlog.Event, error) {
		if !known(typ) {
			return nil, fmt.Errorf("unknown type %q", typ)
		}
		var a Added
		if err := json.Unmarshal(data, &a); err != nil {
			return nil, err
		}
		return a, a.Check()
	},
	Knows: known,
}

func known(typ string) bool { return typ == "toy.counter.added.v1" }

// Stream is where the toy's events are.
const Stream = "TOYS"

// Log is a log of toys on a server of its own.
type Log struct {
	*eventlog.Log
	Conn   *nats.Conn
	JS     jetstream.JetStream
	Server *natsembed.Server
	Dir    string // of the server's store
	t      testing.TB
}

// New starts a server with the streams TOYS and DEADLETTERS until the test ends.
func New(t testing.TB) *Log {
	t.Helper()
	return start(t, natsembed.Config{SyncInterval: time.Minute})
}

// NewSynced is New with a server that syncs before it acknowledges.
func NewSynced(t testing.TB) *Log {
	t.Helper()
	return start(t, natsembed.Config{SyncAlways: true})
}

func start(t testing.TB, c natsembed.Config) *Log {
	t.Helper()
	c.Dir, c.Addr = t.TempDir(), "127.0.0.1:0"
	b, err := natsembed.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	nc, err := nats.Connect(b.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: Stream, Subjects: []string{"events.counter.>"}, AllowDirect: true},
		{Name: "DEADLETTERS", Subjects: []string{"deadletters.>"}, AllowDirect: true},
		{Name: "TIMERS", Subjects: []string{"timers.>"}, AllowDirect: true, AllowMsgSchedules: true, AllowMsgTTL: true, AllowRollup: true},
	} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return &Log{Log: eventlog.New(js, Codec), Conn: nc, JS: js, Server: b, Dir: c.Dir, t: t}
}

// Break puts a device of baddisk in the place of the stream's first block.
func (l *Log) Break(device string) {
	l.t.Helper()
	baddisk.Put(l.t, device, filepath.Join(l.Dir, "jetstream", "$G", "streams", Stream, "msgs", "1.blk"))
}

// Add records an event whatever was there before, and returns its sequence.
func (l *Log) Add(counter string, by int) uint64 {
	l.t.Helper()
	id := eventlog.NewID()
	header := eventlog.Envelope{ID: id, Type: "toy.counter.added.v1", Causation: "test-" + id, Time: time.Now()}.Header()
	data, _ := json.Marshal(Added{counter, by})
	return l.publish("events.counter."+counter+".added", header, data)
}

// Poison records a message that is no event, and returns its sequence.
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

// Spoil makes the disk give no more of what was recorded so far. The server, which
// is started again, knows that it is there, and finds nothing of it.
func (l *Log) Spoil() {
	l.t.Helper()
	for range 10 { // a block holds eight megabytes, and the last one is read at the start
		l.Poison("events.counter.spoilt.added", strings.Repeat("x", 1<<20-1024))
	}
	l.Server.Stop()
	var err error
	if l.Server, err = natsembed.Start(natsembed.Config{Dir: l.Dir, Addr: strings.TrimPrefix(l.Server.URL(), "nats://"), SyncInterval: time.Minute}); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(l.Server.Stop)
	blocks, err := filepath.Glob(filepath.Join(l.Dir, "jetstream", "*", "streams", Stream, "msgs", "1.blk"))
	if err != nil || len(blocks) != 1 {
		l.t.Fatalf("blocks %v, %v", blocks, err)
	}
	// A folder gives an error to whoever reads it as a file, as a bad disk does. The
	// server has opened the store, and has not yet read the block.
	if err := errors.Join(os.Remove(blocks[0]), os.Mkdir(blocks[0], 0o700)); err != nil {
		l.t.Fatal(err)
	}
	if err := l.Conn.ForceReconnect(); err != nil {
		l.t.Fatal(err)
	}
}
