package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// fields is a configuration of JetStream's by its field names.
type fields map[string]json.RawMessage

// defaults are what the server fills in where streams.yaml says nothing.
var defaults = map[string][]string{
	"duplicate_window": {"120000000000"},
	"compression":      {`"none"`},
	"deliver_policy":   {`"all"`},
	"replay_policy":    {`"instant"`},
	"ack_policy":       {`"explicit"`},
	"max_waiting":      {"512"},
	"consumer_limits":  {"{}"},
}

// ignored are fields that say nothing about what the shop relies on: the
// server's own notes, the names that the client gives, and num_replicas, which
// is streams apply's to choose.
var ignored = []string{"metadata", "num_replicas", "name", "placement", "pause_until"}

// checkConfiguration compares the streams and shared consumers with streams.yaml.
func (a *audit) checkConfiguration(ctx context.Context) error {
	for _, want := range a.Streams.Streams {
		stream, err := a.JetStream.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("stream %s is not there; was lonja streams apply run?", want.Name)
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
		a.checkConfig(want.Name, "", want.StreamConfig, stream.CachedInfo().Config)
		for _, c := range want.Consumers {
			if err := a.checkConsumer(ctx, stream, want.Name, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *audit) checkConsumer(ctx context.Context, stream jetstream.Stream, name string, want jetstream.ConsumerConfig) error {
	cons, err := stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		a.violate(Violation{Check: Configuration, Stream: name, Entity: "consumer " + want.Durable, Problem: "is not there"})
		return nil
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", want.Durable, err)
	}
	a.checkConfig(name, "consumer "+want.Durable, want, cons.CachedInfo().Config)
	return nil
}

func (a *audit) checkConfig(stream, entity string, want, got any) {
	wanted, is := fieldsOf(want), fieldsOf(got)
	all := maps.Clone(wanted)
	maps.Copy(all, is)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(ignored, name) && !same(name, wanted[name], is[name]) {
			a.violate(Violation{Check: Configuration, Stream: stream, Entity: entity,
				Problem: fmt.Sprintf("%s is %s; streams.yaml says %s", name, shown(is[name]), shown(wanted[name]))})
		}
	}
}

func fieldsOf(config any) fields {
	data, err := json.Marshal(config)
	var f fields
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		panic(err) // configurations of JetStream's always are JSON objects
	}
	return f
}

// same compares a field; what streams.yaml leaves out may be the server's default.
func same(name string, want, is json.RawMessage) bool {
	if unset(want) {
		return unset(is) || slices.Contains(defaults[name], string(is))
	}
	return bytes.Equal(want, is)
}

// unset tells whether a value is none: JetStream writes "no limit" as -1, too.
func unset(value json.RawMessage) bool {
	switch strings.TrimSpace(string(value)) {
	case "", "null", "0", "-1", `""`, "false", "[]", "{}":
		return true
	}
	return false
}

func shown(value json.RawMessage) string {
	if unset(value) && string(value) != "-1" {
		return "nothing"
	}
	return string(value)
}
