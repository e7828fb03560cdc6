package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/natsauth"
	"lonja/kit/streams"
)

// errGrown ends a run whose streams have other partitions by now. The next one knows them.
var errGrown = errors.New("the number of a stream's partitions has grown")

// readLayout learns which partitions the streams have that the service uses. Nothing else in a service
// depends on it.
func (s *Service) readLayout(ctx context.Context, d *deps) error {
	layout, err := d.Streams.ReadLayout(ctx, d.js, s.streams(d.Streams)...)
	if err != nil {
		return err
	}
	d.Streams, d.log.Layout = d.Streams.With(layout), layout
	return nil
}

// streams returns the declared streams whose state the service may read: all that it uses.
func (s *Service) streams(config *streams.Config) (names []string) {
	permitted := s.Permissions(config)
	for _, declared := range config.Streams {
		if permitted.Include(natsauth.AllowStreamInfo(declared.Name)) {
			names = append(names, declared.Name)
		}
	}
	return names
}

// watchLayout returns errGrown when the layout is another one after a reconnection. Whoever adds partitions
// looks whether services are running, but cannot see one that the network keeps away.
func (s *Service) watchLayout(ctx context.Context, d *deps) error {
	reconnected := d.Conn.StatusChanged(nats.CONNECTED)
	defer d.Conn.RemoveStatusListener(reconnected)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reconnected:
		}
		for {
			layout, err := d.Streams.ReadLayout(ctx, d.js, s.streams(d.Streams)...)
			if err == nil && !maps.EqualFunc(layout, d.log.Layout, slices.Equal) {
				return errGrown
			}
			if err == nil || !sleep(ctx, time.Second) {
				break
			}
		}
	}
}
