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
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite" // the driver

	"lonja/kit/natsembed"
)

// helpers are the parts that the shop is made of, each alone in a process of
// its own: this program, started again with the helper's name.
var helpers = map[string]func(args []string) error{
	"broker": serveBroker,
	"echo":   serveEcho,
	"sqlite": insertRows,
}

// untilClosed waits until whoever started this process lets go of it.
func untilClosed() { io.Copy(io.Discard, os.Stdin) }

// serveBroker is a NATS server: folder, and always or relaxed for its syncs.
func serveBroker(args []string) error {
	b, err := natsembed.Start(natsembed.Config{
		Dir: args[0], Addr: "127.0.0.1:0", SyncAlways: args[1] == "always", SyncInterval: time.Minute})
	if err != nil {
		return err
	}
	defer b.Stop()
	fmt.Println("nats", b.URL())
	fmt.Println("ready")
	untilClosed()
	return nil
}

// serveEcho does what a query cannot do without: HTTP in, a NATS request out,
// a reply of a constant back through both. GET /n answers n bytes.
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
	untilClosed()
	return nil
}

// insertRows inserts rows of so many bytes into an indexed SQLite table, as
// many in a transaction as a view takes, and says how many a second.
func insertRows(args []string) error {
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
	untilClosed()
	return nil
}

const rowsInTransaction = 500

func insert(ctx context.Context, db *sql.DB, data string, d time.Duration) (perSecond float64, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `CREATE TABLE facts (id TEXT NOT NULL, sequence INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL);
		CREATE INDEX facts_by_id ON facts (id, sequence)`); err != nil {
		return 0, err
	}
	row, err := conn.PrepareContext(ctx, `INSERT INTO facts (id, sequence, type, data) VALUES (?, ?, ?, ?)`)
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
