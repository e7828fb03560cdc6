package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

type total struct{}

func (total) QueryName() string { return "counters.total" }

// TestClient_TakesNoStoredMessageForAnAnswer has the server send a stored message to the inbox
// of somebody who waits for an answer.
func TestClient_TakesNoStoredMessageForAnAnswer(t *testing.T) {
	for name, attack := range map[string]func(conn *nats.Conn, inbox string) error{
		"pulled": func(conn *nats.Conn, inbox string) error {
			asked, err := json.Marshal(map[string]any{"stream_name": kittest.Stream, "config": map[string]any{"name": "spy", "ack_policy": "none"}})
			_, created := conn.Request("$JS.API.CONSUMER.CREATE."+kittest.Stream+".spy", asked, time.Minute)
			return errors.Join(err, created, conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+kittest.Stream+".spy", inbox, []byte(`{"batch":1}`)))
		},
		"handed out": func(conn *nats.Conn, inbox string) error {
			return conn.PublishRequest("$JS.API.DIRECT.GET."+kittest.Stream, inbox, []byte(`{"seq":1}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := kittest.New(t)
			log.Add("forged", 1000)
			thief, err := nats.Connect(log.Server.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer thief.Close()
			attacked := make(chan error, 1)
			if _, err := thief.Subscribe("queries.counters.total", func(m *nats.Msg) { attacked <- attack(thief, m.Reply) }); err != nil {
				t.Fatal(err)
			}
			if err := thief.Flush(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			body, err := bus.NewClient(log.Conn).Query(ctx, total{}, eventlog.Envelope{})
			if !errors.Is(err, bus.ErrNoAnswer) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("answered %s, %v", body, err)
			}
			if err := <-attacked; err != nil {
				t.Error(err)
			}
		})
	}
}
