package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

// operatorTimeout bounds the wait for a service's answer to an operator's command.
const operatorTimeout = 10 * time.Second

// operatorClient sends commands as the operator.
type operatorClient struct {
	*bus.Client
	js    jetstream.JetStream
	at    string // the servers, for errors
	close func()
}

// connectAsClient connects as the operator. The caller must close the client.
func (c connection) connectAsClient(name string) (*operatorClient, error) {
	nc, err := c.connect(name)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &operatorClient{bus.NewClient(nc), js, c.redactedURLs(), nc.Close}, nil
}

// send sends a command to a service, and waits for the answer.
func (c *operatorClient) send(ctx context.Context, service string, command bus.Command) (bus.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	reply, err := c.Send(ctx, command, eventlog.Envelope{Actor: eventlog.Actor{ID: "service:" + operator}})
	if errors.Is(err, bus.ErrNoService) {
		err = fmt.Errorf("%s does not answer at %s: start the shop, or the service %s, first", service, c.at, service)
	}
	return reply, err
}
