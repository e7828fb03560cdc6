package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/internal/client"
	"lonja/internal/envelope"
	"lonja/internal/toy"
)

type total struct{}

func (total) Query() string { return "toys.total" }

// TestAStoredMessageIsNoAnswer has the server send a stored message to the inbox
// of somebody who waits for an answer.
func TestAStoredMessageIsNoAnswer(t *testing.T) {
	for name, attack := range map[string]func(conn *nats.Conn, inbox string) error{
		"pulled": func(conn *nats.Conn, inbox string) error {
			asked, err := json.Marshal(map[string]any{"stream_name": toy.Stream, "config": map[string]any{"name": "spy", "ack_policy": "none"}})
			_, created := conn.Request("$JS.API.CONSUMER.CREATE."+toy.Stream+".spy", asked, time.Minute)
			return errors.Join(err, created, conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+toy.Stream+".spy", inbox, []byte(`{"batch":1}`)))
		},
		"handed out": func(conn *nats.Conn, inbox string) error {
			return conn.PublishRequest("$JS.API.DIRECT.GET."+toy.Stream, inbox, []byte(`{"seq":1}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := toy.New(t)
			log.Add("forged", 1000)
			thief, err := nats.Connect(log.Broker.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer thief.Close()
			attacked := make(chan error, 1)
			if _, err := thief.Subscribe("queries.toys.total", func(m *nats.Msg) { attacked <- attack(thief, m.Reply) }); err != nil {
				t.Fatal(err)
			}
			if err := thief.Flush(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			body, err := client.New(log.Conn).Ask(ctx, total{}, envelope.Envelope{})
			if !errors.Is(err, client.ErrSilent) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("answered %s, %v", body, err)
			}
			if err := <-attacked; err != nil {
				t.Error(err)
			}
		})
	}
}
