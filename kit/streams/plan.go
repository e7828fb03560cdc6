package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Action is what a change does.
type Action string

// The actions. Refuse is what JetStream does not do, or not without a loss.
const (
	Create Action = "create"
	Update Action = "update"
	Refuse Action = "refuse"
)

// Change is what is to be done so that a stream, or a consumer that is shared,
// is as streams.yaml says.
type Change struct {
	Action   Action       `json:"action"`
	Stream   string       `json:"stream"`
	Consumer string       `json:"consumer,omitempty"` // "" means the stream itself
	Fields   []Difference `json:"fields,omitempty"`   // of an update
	// Impossible says why JetStream does not do it.
	Impossible string `json:"impossible,omitempty"`
	// Loses says which messages it may throw away. It is done only when it is
	// allowed by the stream's name.
	Loses string `json:"loses,omitempty"`

	stream   jetstream.StreamConfig
	consumer jetstream.ConsumerConfig
}

// Plan is all that is to be done.
type Plan struct {
	Changes []Change `json:"changes"`
	AsSaid  int      `json:"as_said"` // streams and consumers that are as streams.yaml says
	// Foreign are the account's other streams. They are left alone.
	Foreign []string `json:"foreign"`
}

// Count is how many changes are of an action.
func (p Plan) Count(a Action) (n int) {
	for _, c := range p.Changes {
		if c.Action == a {
			n++
		}
	}
	return n
}

// Plan compares a server with streams.yaml and changes nothing. Replicas, when
// above zero, overrides num_replicas; else streams that exist keep theirs.
func (c *Config) Plan(ctx context.Context, js jetstream.JetStream, replicas int) (Plan, error) {
	p := Plan{Changes: []Change{}, Foreign: []string{}}
	for _, s := range c.Streams {
		if err := p.look(ctx, js, s, replicas); err != nil {
			return p, err
		}
	}
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if !slices.ContainsFunc(c.Streams, func(s Stream) bool { return s.Name == name }) {
			p.Foreign = append(p.Foreign, name)
		}
	}
	slices.Sort(p.Foreign)
	return p, names.Err()
}

// look plans for a stream and its consumers.
func (p *Plan) look(ctx context.Context, js jetstream.JetStream, s Stream, replicas int) error {
	want := s.StreamConfig
	if replicas > 0 {
		want.Replicas = replicas
	}
	stream, err := js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		p.add(Change{Action: Create, Stream: s.Name, stream: want})
		for _, cons := range s.Consumers {
			p.add(Change{Action: Create, Stream: s.Name, Consumer: cons.Durable, consumer: cons})
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.Name, err)
	}
	is := stream.CachedInfo().Config
	if replicas <= 0 {
		want.Replicas = is.Replicas
	}
	p.add(streamChange(want, is))
	for _, cons := range s.Consumers {
		found, err := stream.Consumer(ctx, cons.Durable)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			p.add(Change{Action: Create, Stream: s.Name, Consumer: cons.Durable, consumer: cons})
		case err != nil:
			return fmt.Errorf("consumer %s: %w", cons.Durable, err)
		default:
			p.add(consumerChange(s.Name, cons, found.CachedInfo().Config))
		}
	}
	return nil
}

func (p *Plan) add(c Change) {
	if c.Action == "" {
		p.AsSaid++
		return
	}
	p.Changes = append(p.Changes, c)
}

// streamChange is what makes a stream as wanted; its Action is "" when it is.
func streamChange(want, is jetstream.StreamConfig) Change {
	c := Change{Stream: want.Name, stream: want, Fields: compare(want, is)}
	if len(c.Fields) == 0 {
		return c
	}
	c.Action = Update
	var impossible, loses []string
	for _, d := range c.Fields {
		switch {
		case fixedOfStreams(d):
			impossible = append(impossible, d.Field)
		case tightens(d, want.Discard):
			loses = append(loses, d.Field)
		}
	}
	if len(impossible) > 0 {
		c.Action, c.Impossible = Refuse, fmt.Sprintf("%s of a stream cannot be changed: back it up (nats stream backup), delete it, apply, and restore", strings.Join(impossible, ", "))
	}
	if len(loses) > 0 {
		c.Loses = fmt.Sprintf("%s may throw away messages that are there", strings.Join(loses, ", "))
	}
	return c
}

// fixedOfStreams reports whether JetStream does not let a field of a stream
// change in this way.
func fixedOfStreams(d Difference) bool {
	switch d.Field {
	case "storage", "persist_mode", "allow_msg_counter", "mirror", "sealed":
		return true
	case "retention":
		return strings.Contains(string(d.Is)+string(d.Want), "workqueue")
	case "deny_delete", "deny_purge", "allow_msg_ttl", "allow_msg_schedules":
		return string(d.Want) == "null" // what is allowed or forbidden once is so for ever
	}
	return false
}

// tightens reports whether a field's change makes the stream keep less. One that
// discards what is new keeps what is there, however much that is.
func tightens(d Difference, discard jetstream.DiscardPolicy) bool {
	switch d.Field {
	case "retention":
		return true
	case "max_msgs", "max_bytes":
		if discard == jetstream.DiscardNew {
			return false
		}
		fallthrough
	case "max_age", "max_msgs_per_subject":
		is, want := number(d.Is), number(d.Want)
		return want > 0 && (is <= 0 || want < is)
	}
	return false
}

func number(value json.RawMessage) int64 {
	n, _ := strconv.ParseInt(string(value), 10, 64)
	return n
}

// fixedOfConsumers are the fields that JetStream lets no consumer change.
var fixedOfConsumers = []string{"deliver_policy", "opt_start_seq", "opt_start_time", "ack_policy", "replay_policy", "mem_storage", "max_waiting"}

// consumerChange is what makes a consumer as wanted; its Action is "" when it is.
func consumerChange(stream string, want, is jetstream.ConsumerConfig) Change {
	want.Replicas = is.Replicas // as many as its stream
	c := Change{Stream: stream, Consumer: want.Durable, consumer: want, Fields: compare(want, is)}
	if len(c.Fields) == 0 {
		return c
	}
	c.Action = Update
	for _, d := range c.Fields {
		if slices.Contains(fixedOfConsumers, d.Field) {
			c.Action, c.Impossible = Refuse, fmt.Sprintf(
				"%s of a consumer cannot be changed: delete the consumer (nats consumer rm %s %s) and apply; it begins at the stream's first message, which changes nothing that was done", d.Field, stream, want.Durable)
		}
	}
	return c
}

// Apply does what the plan says. It does nothing at all when something is
// impossible, or when something may lose messages of a stream that is not named
// in allowLoss: the error says what. It never deletes anything.
func (p Plan) Apply(ctx context.Context, js jetstream.JetStream, allowLoss []string) error {
	if err := p.Refused(allowLoss); err != nil {
		return err
	}
	for _, c := range p.Changes {
		if err := c.apply(ctx, js); err != nil {
			return fmt.Errorf("%s: %w", c.What(), err)
		}
	}
	return nil
}

// Refused is why Apply would do nothing, nil when it would do something.
func (p Plan) Refused(allowLoss []string) error {
	var failed []error
	for _, c := range p.Changes {
		switch {
		case c.Impossible != "":
			failed = append(failed, fmt.Errorf("%s: %s", c.What(), c.Impossible))
		case c.Loses != "" && !slices.Contains(allowLoss, c.Stream):
			failed = append(failed, fmt.Errorf("%s: %s; if that is meant, add --allow-loss %s", c.What(), c.Loses, c.Stream))
		}
	}
	return errors.Join(failed...)
}

// What names what changes: "stream ORDERS".
func (c Change) What() string {
	if c.Consumer != "" {
		return "consumer " + c.Consumer + " on " + c.Stream
	}
	return "stream " + c.Stream
}

func (c Change) apply(ctx context.Context, js jetstream.JetStream) (err error) {
	switch {
	case c.Consumer != "":
		_, err = js.CreateOrUpdateConsumer(ctx, c.Stream, c.consumer)
	case c.Action == Create:
		_, err = js.CreateStream(ctx, c.stream)
	default:
		_, err = js.UpdateStream(ctx, c.stream)
	}
	return err
}
