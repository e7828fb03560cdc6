package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/internal/streams"
)

func streamsConfig() (*streams.Config, error) { return streams.Parse(lonja.StreamsYAML) }

type streamsCommand struct {
	Apply applyCommand `cmd:"" help:"Make the streams and consumers as streams.yaml says."`
}

type applyCommand struct {
	connection
	Replicas int `help:"Replicas of every stream; 0 takes what streams.yaml says." default:"0"`
}

// Run makes the streams and consumers.
func (c *applyCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja streams apply", func(js jetstream.JetStream) error {
		if err := config.Apply(ctx, js, c.Replicas); err != nil {
			return err
		}
		fmt.Printf("%d streams are as streams.yaml says\n", len(config.Streams))
		return nil
	})
}
