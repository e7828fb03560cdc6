package decider_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
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

// bank is the codec of the events.
var bank = eventlog.NewCodec("bank", Withdrawn{})

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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, _, stop, err := kittest.JetStream(ctx, jetstream.StreamConfig{Name: "BANK", Subjects: []string{"events.account.>"}, AllowDirect: true})
	if err != nil {
		return err
	}
	defer stop()

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
