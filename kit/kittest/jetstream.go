package kittest

import (
	"context"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/natsembed"
)

// JetStream starts a NATS server in a temporary folder, connects to it and creates streams.
// It is for Examples, which have no [testing.TB] and show errors as their readers would
// handle them; tests use [New]. Dir is a folder for other files. Stop, which is nil after an
// error, ends the connection and the server and removes all files.
func JetStream(ctx context.Context, streams ...jetstream.StreamConfig) (js jetstream.JetStream, dir string, stop func(), err error) {
	if dir, err = os.MkdirTemp("", "kittest-"); err != nil {
		return nil, "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	server, js, err := open(natsembed.Config{Dir: filepath.Join(dir, "nats"), Addr: "127.0.0.1:0", SyncAlways: true})
	if err != nil {
		remove()
		return nil, "", nil, err
	}
	stop = func() { js.Conn().Close(); server.Stop(); remove() }
	for _, s := range streams {
		if err == nil {
			_, err = js.CreateStream(ctx, s)
		}
	}
	if err != nil {
		stop()
		return nil, "", nil, err
	}
	return js, dir, stop, nil
}
