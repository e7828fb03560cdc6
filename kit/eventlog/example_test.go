package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/natsembed"
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

// hotel maps the event to messages and back.
var hotel = eventlog.Codec{
	Type:    func(e eventlog.Event) string { return "hotel." + e.EventName() },
	Subject: func(e eventlog.Event) string { return "events.room." + e.EntityID() + ".booked" },
	Encode: func(e eventlog.Event) ([]byte, error) {
		if err := e.Check(); err != nil {
			return nil, err
		}
		return json.Marshal(e)
	},
	Decode: func(typ string, data []byte) (eventlog.Event, error) {
		if typ != "hotel.room.booked.v1" {
			return nil, fmt.Errorf("unknown type %q", typ)
		}
		var b RoomBooked
		if err := json.Unmarshal(data, &b); err != nil {
			return nil, err
		}
		return b, b.Check()
	},
}

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
	js, stop, err := startHotel()
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "HOTEL", Subjects: []string{"events.room.>"}, AllowDirect: true}); err != nil {
		return err
	}
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

// startHotel starts a NATS server with a directory of its own. Stop stops it and removes
// the directory.
func startHotel() (js jetstream.JetStream, stop func(), err error) {
	dir, err := os.MkdirTemp("", "eventlog-example-")
	if err != nil {
		return nil, nil, err
	}
	server, err := natsembed.Start(natsembed.Config{Dir: dir, Addr: "127.0.0.1:0", SyncAlways: true})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	nc, err := nats.Connect(server.URL())
	if err == nil {
		js, err = jetstream.New(nc)
	}
	stop = func() {
		nc.Close()
		server.Stop()
		os.RemoveAll(dir)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return js, stop, nil
}
