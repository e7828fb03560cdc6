package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite" // the driver

	"lonja/kit/natsembed"
)

// helpers are the layers below the shop. Each runs alone in a process of its own:
// this program, started with the helper's name.
var helpers = map[string]func(args []string) error{
	"broker": serveNATS,
	"echo":   serveEcho,
	"sqlite": serveSQLite,
}

// awaitStdinClosed waits until the parent process closes standard input or ends.
func awaitStdinClosed() { io.Copy(io.Discard, os.Stdin) }

// serveNATS runs a NATS server and prints how much memory its streams take. Args are its folder, and always or relaxed for syncs.
func serveNATS(args []string) error {
	b, err := natsembed.Start(natsembed.Config{
		Dir: args[0], Addr: "127.0.0.1:0", SyncAlways: args[1] == "always", SyncInterval: time.Minute})
	if err != nil {
		return err
	}
	defer b.Stop()
	fmt.Println("nats", b.URL())
	// What the open streams take in memory, without what is soon free again.
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Println("heap", memory.HeapAlloc)
	fmt.Println("ready")
	awaitStdinClosed()
	return nil
}

// serveEcho does the minimum of a query: an HTTP request, a NATS request, and a
// constant reply through both. GET /n answers n bytes.
func serveEcho(args []string) error {
	b, err := natsembed.Start(natsembed.Config{Dir: args[0], Addr: "127.0.0.1:0", SyncInterval: time.Minute})
	if err != nil {
		return err
	}
	defer b.Stop()
	service, err := nats.Connect(b.URL())
	if err != nil {
		return err
	}
	defer service.Close()
	constant := make([]byte, 1<<20)
	for i := range constant {
		constant[i] = 'x'
	}
	if _, err := service.QueueSubscribe("echo", "q", func(m *nats.Msg) {
		n, _ := strconv.Atoi(string(m.Data))
		m.Respond(constant[:min(max(n, 0), len(constant))])
	}); err != nil {
		return err
	}
	gateway, err := nats.Connect(b.URL())
	if err != nil {
		return err
	}
	defer gateway.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{n}", func(w http.ResponseWriter, r *http.Request) {
		msg, err := gateway.Request("echo", []byte(r.PathValue("n")), 5*time.Second)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(msg.Data)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, mux)
	fmt.Println("http", listener.Addr())
	fmt.Println("ready")
	awaitStdinClosed()
	return nil
}

// serveSQLite inserts rows into an indexed SQLite table, with as many rows in a
// transaction as a view has, and prints the rows per second. Args are a folder, the
// bytes of a row and a duration.
func serveSQLite(args []string) error {
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(args[0], "rows.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	rate, err := insert(context.Background(), db, string(make([]byte, size)), d)
	if err != nil {
		return err
	}
	fmt.Println("rows", strconv.FormatFloat(rate, 'f', 0, 64))
	fmt.Println("ready")
	awaitStdinClosed()
	return nil
}

const rowsInTransaction = 500

func insert(ctx context.Context, db *sql.DB, data string, d time.Duration) (perSecond float64, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `CREATE TABLE events (id TEXT NOT NULL, sequence INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL);
		CREATE INDEX events_by_id ON events (id, sequence)`); err != nil {
		return 0, err
	}
	row, err := conn.PrepareContext(ctx, `INSERT INTO events (id, sequence, type, data) VALUES (?, ?, ?, ?)`)
	if err != nil {
		return 0, err
	}
	defer row.Close()
	rows, began := 0, time.Now()
	for time.Since(began) < d {
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return 0, err
		}
		for range rowsInTransaction {
			rows++
			if _, err := row.ExecContext(ctx, "ord_"+strconv.Itoa(rows/7*7919), rows, "lonja.order.placed.v1", data); err != nil {
				return 0, err
			}
		}
		if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
			return 0, err
		}
	}
	return float64(rows) / time.Since(began).Seconds(), nil
}
