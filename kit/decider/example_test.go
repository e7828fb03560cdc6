package decider_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsembed"
)

// Withdrawn is the event of the example: money was withdrawn from an account.
type Withdrawn struct {
	Account string `json:"account"`
	Cents   int    `json:"cents"`
}

func (Withdrawn) EventName() string  { return "account.withdrawn.v1" }
func (w Withdrawn) EntityID() string { return w.Account }

func (w Withdrawn) Check() error {
	if w.Cents <= 0 {
		return errors.New("cents must be positive")
	}
	return nil
}

// bank maps the event to messages and back.
var bank = eventlog.Codec{
	Type:    func(e eventlog.Event) string { return "bank." + e.EventName() },
	Subject: func(e eventlog.Event) string { return "events.account." + e.EntityID() + ".withdrawn" },
	Encode: func(e eventlog.Event) ([]byte, error) {
		if err := e.Check(); err != nil {
			return nil, err
		}
		return json.Marshal(e)
	},
	Decode: func(typ string, data []byte) (eventlog.Event, error) {
		if typ != "bank.account.withdrawn.v1" {
			return nil, fmt.Errorf("unknown type %q", typ)
		}
		var w Withdrawn
		if err := json.Unmarshal(data, &w); err != nil {
			return nil, err
		}
		return w, w.Check()
	},
}

// account is an account that is opened with 100 cents. Its state is the balance.
var account = decider.EntityType[int]{
	Subject: "events.account",
	Stream:  "BANK",
	New:     func() int { return 100 },
	Evolve: func(balance int, e eventlog.Event, _ time.Time) int {
		return balance - e.(Withdrawn).Cents
	},
}

// withdraw is the decision: it depends on the balance alone.
func withdraw(cents int) decider.Decide[int] {
	return func(balance int, m decider.Meta) (eventlog.Event, error) {
		if cents > balance {
			return nil, errs.New(errs.Conflict, "the balance is %d cents", balance)
		}
		return Withdrawn{Account: m.EntityID, Cents: cents}, nil
	}
}

// A command is delivered twice, the second time to another replica. It takes effect once,
// and both deliveries return the same receipt, except for Replayed.
func Example() {
	if err := withdrawOnce(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// command-1: BANK:1, balance 30, replayed false
	// command-1: BANK:1, balance 30, replayed true
	// command-2: conflict: the balance is 30 cents
}

func withdrawOnce() error {
	dir, err := os.MkdirTemp("", "decider-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := natsembed.Start(natsembed.Config{Dir: dir, Addr: "127.0.0.1:0", SyncAlways: true})
	if err != nil {
		return err
	}
	defer server.Stop()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "BANK", Subjects: []string{"events.account.>"}, AllowDirect: true}); err != nil {
		return err
	}

	balance := func(balance int, _ eventlog.Event) any { return balance }
	for _, id := range []string{"command-1", "command-1", "command-2"} {
		replica := decider.New(account) // nothing is shared but the log
		replica.Bind(eventlog.New(js, bank), decider.Config{Source: "bank"})
		command := decider.Command{Envelope: eventlog.Envelope{ID: id}, EntityID: "ana"}
		switch r, err := replica.Decide(ctx, command, withdraw(70), balance); {
		case errs.Is(err, errs.Conflict):
			fmt.Printf("%s: %v\n", id, err)
		case err != nil:
			return err
		default:
			fmt.Printf("%s: %s, balance %v, replayed %t\n", id, eventlog.Position(r.Stream, r.Sequence), r.Reply, r.Replayed)
		}
	}
	return nil
}
