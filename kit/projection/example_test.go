package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// Deposited is the event of the example: money was paid into an account.
type Deposited struct {
	Account string `json:"account"`
	Cents   int64  `json:"cents"`
}

func (Deposited) EventName() string  { return "account.deposited.v1" }
func (d Deposited) EntityID() string { return d.Account }

func (d Deposited) Check() error {
	if d.Cents <= 0 {
		return errors.New("cents must be positive")
	}
	return nil
}

// bank is the codec of the events.
var bank = eventlog.NewCodec("bank", Deposited{})

// balances adds up the deposits of each account.
var balances = projection.Definition{
	Name:   "balances",
	Schema: `CREATE TABLE balances (account TEXT PRIMARY KEY, cents INTEGER NOT NULL);`,
	Reads:  []projection.Source{{Stream: "ACCOUNTS", Subjects: []string{"events.account.>"}}},
	Project: func(tx *projection.Tx, r eventlog.Record) error {
		d := r.Event.(Deposited)
		return tx.Exec(`INSERT INTO balances (account, cents) VALUES (?, ?)
			ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents`, d.Account, d.Cents)
	},
}

// A view follows a stream on a real server. The reader waits until the view includes the
// event that was just recorded.
func Example() {
	if err := followDeposits(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// position: ACCOUNTS:3
	// balance of alice: 750 cents
}

func followDeposits() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, dir, stopServer, err := kittest.JetStream(ctx, jetstream.StreamConfig{Name: "ACCOUNTS", Subjects: []string{"events.account.>"}, AllowDirect: true})
	if err != nil {
		return err
	}
	defer stopServer()
	log := eventlog.New(js, bank)

	view := projection.New(balances)
	err = view.Open(ctx, projection.Config{
		JetStream: js, Log: log, Dir: filepath.Join(dir, "views"), Consumer: "bank-a", Logger: slog.New(slog.DiscardHandler),
		DeadLetter: func(_ context.Context, r eventlog.Record) error {
			return fmt.Errorf("%s:%d cannot be decoded: %w", r.Stream, r.Sequence, r.Err)
		},
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() { result <- view.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-result, view.Close())
	}()

	seen := projection.Token{}
	var last uint64 // sequence of alice's last event, 0 for none
	for _, cents := range []int64{500, 200, 50} {
		id := eventlog.NewID()
		recorded, err := log.Append(ctx, "ACCOUNTS", "events.account.alice.>", last,
			eventlog.Envelope{ID: id, Causation: id, Time: time.Now()}, Deposited{"alice", cents})
		if err != nil {
			return err
		}
		last = recorded.Sequence
		seen.Add(recorded.Stream, recorded.Sequence)
	}
	if err := view.Await(ctx, seen); err != nil {
		return err
	}
	var balance int64
	if _, err := view.Get(ctx, `SELECT cents FROM balances WHERE account = ?`, []any{"alice"}, &balance); err != nil {
		return err
	}
	fmt.Println("position:", view.Position())
	fmt.Println("balance of alice:", balance, "cents")
	return nil
}
