package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// TestClient_RejectsImpossiblePartNumbers has a service answer with part numbers that
// cannot be.
func TestClient_RejectsImpossiblePartNumbers(t *testing.T) {
	for _, written := range []string{"1/0", "1/-5", "0/0", "2/2", "1/9223372036854775807", "1", "a/b"} {
		t.Run(written, func(t *testing.T) {
			conn := answering(t, &nats.Msg{Header: nats.Header{bus.HeaderPart: {written}}, Data: []byte(`{"a":`)})
			// Of so many parts the second would be awaited, which does not come.
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			body, _, err := bus.NewClient(conn).QueryInParts(ctx, total{}, eventlog.Envelope{}, 1<<20)
			if !errors.Is(err, bus.ErrNoAnswer) || body != nil {
				t.Errorf("answered %s, %v", body, err)
			}
		})
	}
}

// TestClient_IgnoresAnImpossibleSize has a service report sizes that a client
// must not reserve memory for.
func TestClient_IgnoresAnImpossibleSize(t *testing.T) {
	for _, size := range []string{"-1", "0", "many", "9223372036854775808"} {
		conn := answering(t, &nats.Msg{Header: nats.Header{bus.HeaderErrorCode: {"invalid"}, bus.HeaderSize: {size}},
			Data: []byte(`{"code":"invalid","detail":"too much"}`)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := bus.NewClient(conn).Query(ctx, total{}, eventlog.Envelope{})
		cancel()
		var large *bus.TooLargeError
		if err == nil || errors.As(err, &large) {
			t.Errorf("of size %s: %v, %+v", size, err, large)
		}
	}
}

// answering is a connection to a server on which every query gets this answer.
func answering(t *testing.T, answer *nats.Msg) *nats.Conn {
	t.Helper()
	conn := kittest.New(t).Conn
	if _, err := conn.Subscribe("queries.counters.total", func(m *nats.Msg) { _ = m.RespondMsg(answer) }); err != nil {
		t.Fatal(err)
	}
	return conn
}
