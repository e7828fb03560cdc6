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

// Action is the kind of a change.
type Action string

// The actions. Refuse marks a change that JetStream cannot make; Change.Impossible
// gives the reason.
const (
	Create Action = "create"
	Update Action = "update"
	Refuse Action = "refuse"
)

// Change is one step towards streams.yaml: it creates or updates a stream or a shared
// consumer.
type Change struct {
	Action   Action       `json:"action"`
	Stream   string       `json:"stream"`
	Consumer string       `json:"consumer,omitempty"` // "" means the stream itself
	Fields   []Difference `json:"fields,omitempty"`   // the fields that differ; with Refuse, those that cannot be changed
	// Impossible is the reason why JetStream cannot make the change, and what to do
	// instead. It is "" unless the action is Refuse.
	Impossible string `json:"impossible,omitempty"`
	// Loses describes why the change may delete messages, "" if it cannot. Such a
	// change is made only if its stream is named in allowLoss.
	Loses string `json:"loses,omitempty"`

	stream   jetstream.StreamConfig
	consumer jetstream.ConsumerConfig
}

// Plan lists the changes that make a server match streams.yaml. [Config.Plan] returns
// one.
type Plan struct {
	Changes   []Change `json:"changes"`
	Unchanged int      `json:"as_said"` // how many streams and consumers need no change; the JSON name is kept for readers of earlier versions
	// Foreign lists the account's other streams. They are never touched.
	Foreign []string `json:"foreign"`
}

// Count returns the number of changes with an action.
func (p Plan) Count(a Action) (n int) {
	for _, c := range p.Changes {
		if c.Action == a {
			n++
		}
	}
	return n
}

// Plan compares a server with streams.yaml. It changes nothing. Replicas above 0
// override num_replicas of all streams. Otherwise num_replicas applies to new streams
// only, and existing ones keep theirs. Plan returns an error if the server does not
// answer.
func (c *Config) Plan(ctx context.Context, js jetstream.JetStream, replicas int) (Plan, error) {
	p := Plan{Changes: []Change{}, Foreign: []string{}}
	for _, s := range c.Streams {
		if err := p.planStream(ctx, js, s, replicas); err != nil {
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

// planStream adds the changes of a stream and its consumers.
func (p *Plan) planStream(ctx context.Context, js jetstream.JetStream, s Stream, replicas int) error {
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
		existing, err := stream.Consumer(ctx, cons.Durable)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			p.add(Change{Action: Create, Stream: s.Name, Consumer: cons.Durable, consumer: cons})
		case err != nil:
			return fmt.Errorf("consumer %s: %w", cons.Durable, err)
		default:
			p.add(consumerChange(s.Name, cons, existing.CachedInfo().Config))
		}
	}
	return nil
}

func (p *Plan) add(c Change) {
	if c.Action == "" {
		p.Unchanged++
		return
	}
	p.Changes = append(p.Changes, c)
}

// streamChange returns the change that makes a stream as wanted. Its Action is "" if
// there is nothing to change.
func streamChange(want, is jetstream.StreamConfig) Change {
	now, then := is.Metadata[partitionsKey], want.Metadata[partitionsKey]
	if then == "" && now != "" { // somebody applies the file alone, who knows of no partitions
		want.Metadata = withKey(want.Metadata, partitionsKey, now)
		then = now
	}
	c := Change{Stream: want.Name, stream: want, Fields: compare(want, is)}
	if now != then {
		c.Fields = append(c.Fields, Difference{partitionsKey, jsonText(now), jsonText(then)})
	}
	if len(c.Fields) == 0 {
		return c
	}
	c.Action = Update
	var impossible, loses []string
	for _, d := range c.Fields {
		switch {
		case fixedForStream(d):
			impossible = append(impossible, d.Field)
		case tightens(d, want.Discard):
			loses = append(loses, d.Field)
		}
	}
	if len(impossible) > 0 {
		c.Action, c.Impossible = Refuse, fmt.Sprintf("%s of a stream cannot be changed: back it up (nats stream backup), delete it, apply, and restore it", strings.Join(impossible, ", "))
	}
	if len(loses) > 0 {
		c.Loses = fmt.Sprintf("%s may delete messages in the stream", strings.Join(loses, ", "))
	}
	return c
}

// jsonText returns a text as JSON, null for "".
func jsonText(s string) json.RawMessage {
	if s == "" {
		return json.RawMessage("null")
	}
	data, _ := json.Marshal(s) // never fails for a string
	return data
}

// fixedForStream reports whether JetStream rejects this change of a stream's field.
func fixedForStream(d Difference) bool {
	switch d.Field {
	case "storage", "persist_mode", "allow_msg_counter", "mirror", "sealed":
		return true
	case "retention":
		return strings.Contains(string(d.Is)+string(d.Want), "workqueue")
	case "deny_delete", "deny_purge", "allow_msg_ttl", "allow_msg_schedules":
		return string(d.Want) == "null" // these can be set, but never unset
	}
	return false
}

// tightens reports whether a change of a field makes the stream delete messages that
// it holds. A stream that discards new messages keeps all that it has, even above its
// limit.
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

// fixedForConsumers lists the fields of a consumer that JetStream never changes.
var fixedForConsumers = []string{"deliver_policy", "opt_start_seq", "opt_start_time", "ack_policy", "replay_policy", "mem_storage", "max_waiting"}

// consumerChange returns the change that makes a consumer as wanted. Its Action is ""
// if there is nothing to change.
func consumerChange(stream string, want, is jetstream.ConsumerConfig) Change {
	want.Replicas = is.Replicas // it follows its stream
	c := Change{Stream: stream, Consumer: want.Durable, consumer: want, Fields: compare(want, is)}
	if len(c.Fields) == 0 {
		return c
	}
	c.Action = Update
	for _, d := range c.Fields {
		if slices.Contains(fixedForConsumers, d.Field) {
			c.Action, c.Impossible = Refuse, fmt.Sprintf(
				"%s of a consumer cannot be changed: delete the consumer (nats consumer rm %s %s) and apply; it starts again at the stream's first message, so handlers must be idempotent", d.Field, stream, want.Durable)
		}
	}
	return c
}

// Apply makes the changes of the plan. It makes none of them if [Plan.Validate]
// returns an error. It never deletes a stream or a consumer. If it fails half way, it
// returns an error that names the stream or consumer; make a new plan and apply that.
// Applying a plan twice has no further effect.
func (p Plan) Apply(ctx context.Context, js jetstream.JetStream, allowLoss []string) error {
	if err := p.Validate(allowLoss); err != nil {
		return err
	}
	for _, c := range p.Changes {
		if err := c.apply(ctx, js); err != nil {
			return fmt.Errorf("%s: %w", c.Target(), err)
		}
	}
	return nil
}

// Validate returns an error if a change is impossible, or may delete messages of a
// stream that allowLoss does not name. The error lists all such changes.
func (p Plan) Validate(allowLoss []string) error {
	var failed []error
	for _, c := range p.Changes {
		switch {
		case c.Impossible != "":
			failed = append(failed, fmt.Errorf("%s: %s", c.Target(), c.Impossible))
		case c.Loses != "" && !slices.Contains(allowLoss, c.Stream):
			failed = append(failed, fmt.Errorf("%s: %s; if you accept that, add --allow-loss %s", c.Target(), c.Loses, c.Stream))
		}
	}
	return errors.Join(failed...)
}

// Target returns what the change applies to: "stream ORDERS", or "consumer
// orders-on-stock on INVENTORY".
func (c Change) Target() string {
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
