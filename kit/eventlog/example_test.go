package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// RoomBooked is the event of the example: a guest has booked a room for one night.
type RoomBooked struct {
	Room  string `json:"room"`
	Guest string `json:"guest"`
}

func (RoomBooked) EventName() string  { return "room.booked.v1" }
func (b RoomBooked) EntityID() string { return b.Room }

func (b RoomBooked) Check() error {
	if b.Guest == "" {
		return errors.New("guest must not be empty")
	}
	return nil
}

// hotel is the codec of the events.
var hotel = eventlog.NewCodec("hotel", RoomBooked{})

// Two clients have seen that room 7 is free. The condition of the append lets only the
// first of them book it; the other one loads what it has missed.
func Example() {
	if err := bookRoom(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ana booked the room at HOTEL:1
	// ben: the entity has changed since it was loaded
	// HOTEL:1 holds {Room:7 Guest:ana}
}

func bookRoom() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, _, stop, err := kittest.JetStream(ctx, jetstream.StreamConfig{Name: "HOTEL", Subjects: []string{"events.room.>"}, AllowDirect: true})
	if err != nil {
		return err
	}
	defer stop()
	log := eventlog.New(js, hotel)

	const room = "events.room.7.>"
	seen, err := log.Last(ctx, "HOTEL", room) // 0, because the room has no events
	if err != nil {
		return err
	}
	for _, guest := range []string{"ana", "ben"} {
		id := eventlog.NewID()
		env := eventlog.Envelope{ID: id, Causation: "command-" + id, Time: time.Now()}
		switch r, err := log.Append(ctx, "HOTEL", room, seen, env, RoomBooked{Room: "7", Guest: guest}); {
		case errors.Is(err, eventlog.ErrConflict):
			fmt.Printf("%s: %v\n", guest, err)
		case err != nil:
			return err
		default:
			fmt.Printf("%s booked the room at %s\n", guest, eventlog.Position(r.Stream, r.Sequence))
		}
	}
	last, err := log.Last(ctx, "HOTEL", room)
	if err != nil {
		return err
	}
	return log.Load(ctx, "HOTEL", room, seen, last, func(r eventlog.Record) {
		fmt.Printf("%s holds %+v\n", eventlog.Position(r.Stream, r.Sequence), r.Event)
	})
}
