package compat

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/events"
	"lonja/kit/natsembed"
	"lonja/shop"
)

// eventStreams are the streams that hold events.
var eventStreams = []string{"CATALOG", "INVENTORY", "ORDERS", "PAYMENTS", "IDENTITY"}

// unpack writes an archive's data folder into a folder of the test's, and returns it with
// the archive's record.
func unpack(t *testing.T, archive string) (data string, record Record) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatalf("%s: %v", archive, err)
	}
	data = t.TempDir()
	for files := tar.NewReader(zip); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", archive, err)
		}
		content, err := io.ReadAll(files)
		if err == nil && header.Name == RecordFile {
			err = json.Unmarshal(content, &record)
		} else if err == nil {
			err = writeFile(filepath.Join(data, filepath.FromSlash(header.Name)), content)
		}
		if err != nil {
			t.Fatalf("%s: %s: %v", archive, header.Name, err)
		}
	}
	if record.Commit == "" {
		t.Fatalf("%s holds no %s", archive, RecordFile)
	}
	return data, record
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// deleteViews deletes the views of every service.
func deleteViews(t *testing.T, data string) {
	t.Helper()
	for _, name := range shop.Names() {
		if err := os.RemoveAll(filepath.Join(data, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// onLog opens the log of a data folder that no shop runs on, and closes it again.
func onLog(t *testing.T, data string, do func(context.Context, jetstream.JetStream) error) {
	t.Helper()
	b, err := natsembed.Start(natsembed.Config{Name: lonja.Name, Dir: filepath.Join(data, "nats"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	nc, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = do(t.Context(), js)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sums are the hashes of a stream's messages, by sequence from 1 on.
type sums [][sha256.Size]byte

// readLog returns the events of each stream, and the types of all.
func readLog(t *testing.T, data string) (log map[string]sums, types []string) {
	t.Helper()
	log = map[string]sums{}
	seen := map[string]bool{}
	onLog(t, data, func(ctx context.Context, js jetstream.JetStream) error {
		for _, name := range eventStreams {
			stream, err := js.Stream(ctx, name)
			if err != nil {
				return err
			}
			for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
				m, err := stream.GetMsg(ctx, seq)
				if err != nil {
					return fmt.Errorf("%s:%d: %w", name, seq, err)
				}
				log[name] = append(log[name], sumOf(m))
				seen[m.Header.Get("ce-type")] = true
			}
		}
		return nil
	})
	delete(seen, "") // a message that is no event
	return log, slices.Sorted(maps.Keys(seen))
}

// eventAt returns an event of a log.
func eventAt(t *testing.T, data, stream string, seq int) (e events.Event) {
	t.Helper()
	onLog(t, data, func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		m, err := s.GetMsg(ctx, uint64(seq))
		if err == nil {
			e, err = events.Decode(m.Header.Get("ce-type"), m.Data)
		}
		return err
	})
	return e
}

func sumOf(m *jetstream.RawStreamMsg) [sha256.Size]byte {
	var text strings.Builder
	fmt.Fprintln(&text, m.Subject, m.Time)
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		fmt.Fprintf(&text, "%s: %q\n", name, m.Header[name])
	}
	text.Write(m.Data)
	return sha256.Sum256([]byte(text.String()))
}

// forgetPending deletes the reminders and the deferred commands, so that nothing is left for
// a shop to do by itself.
func forgetPending(t *testing.T, data string) {
	t.Helper()
	onLog(t, data, func(ctx context.Context, js jetstream.JetStream) error {
		for _, name := range []string{"TIMERS", "DEFERRED"} {
			stream, err := js.Stream(ctx, name)
			if err == nil {
				err = stream.Purge(ctx)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// storeDeferred deletes the deferred commands and stores them again, as they were: so they are
// there, however long ago that was. The stream keeps them for a week.
func storeDeferred(t *testing.T, data string, stored []Message) {
	t.Helper()
	onLog(t, data, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "DEFERRED")
		if err == nil {
			err = stream.Purge(ctx)
		}
		for _, m := range stored {
			if err == nil {
				_, err = js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: nats.Header(m.Header), Data: m.Data})
			}
		}
		return err
	})
}
