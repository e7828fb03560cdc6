package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/kittest"
)

// GuestArrived is the event of the example. The guest's name is sealed by a key of their own.
type GuestArrived struct {
	eventlog.Sealed
	Guest string `json:"guest"`
	Name  string `json:"name,omitempty" sealed:"true"`
}

func (GuestArrived) EventName() string  { return "guest.arrived.v1" }
func (g GuestArrived) EntityID() string { return g.Guest }
func (g GuestArrived) KeyOwner() string { return g.Guest }

func (g GuestArrived) Check() error {
	if g.Name == "" && !g.Withheld {
		return errors.New("name must not be empty")
	}
	return nil
}

// A guest is forgotten by destroying their key. The event stays where it is.
func Example() {
	if err := forgetGuest(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// HOTEL:1 holds guest g7, name "Ana"
	// HOTEL:1 holds guest g7, name ""
}

func forgetGuest() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, dir, stop, err := kittest.JetStream(ctx,
		jetstream.StreamConfig{Name: "HOTEL", Subjects: []string{"events.guest.>"}, AllowDirect: true},
		jetstream.StreamConfig{Name: keyring.Stream, Subjects: []string{keyring.Subject("*")}, DenyPurge: true})
	if err != nil {
		return err
	}
	defer stop()

	file := filepath.Join(dir, "kek") // in earnest, it is not in the folder of the data
	if _, err := keyring.CreateKEKs(file); err != nil {
		return err
	}
	keks, err := keyring.LoadKEKs(file)
	if err != nil {
		return err
	}
	ring := keyring.New(js, keks)
	log := eventlog.New(js, eventlog.NewCodec("hotel", GuestArrived{}))
	log.Keys = ring

	arrived := GuestArrived{Guest: "g7", Name: "Ana"}
	env := eventlog.Envelope{ID: eventlog.NewID(), Causation: "command-1", Time: time.Now()}
	if _, err := log.Append(ctx, "HOTEL", "events.guest.g7.>", 0, env, arrived); err != nil {
		return err
	}
	for range 2 {
		r, err := log.At(ctx, "HOTEL", 1)
		if err != nil {
			return err
		}
		read := r.Event.(GuestArrived)
		fmt.Printf("%s holds guest %s, name %q\n", eventlog.Position(r.Stream, r.Sequence), read.Guest, read.Name)
		if err := ring.Destroy(ctx, "g7"); err != nil {
			return err
		}
	}
	return nil
}
