package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// line is one line of the export.
type line struct {
	number   int // in the file, from 1; the header is line 1
	invoice  string
	sku      string
	name     string
	quantity int64
	price    int64 // in pence
	customer string
}

// rejected is a line that could not be used, and why.
type rejected struct {
	number       int
	invoice, sku string
	reason       string
}

func (l line) rejected(reason string) rejected {
	return rejected{l.number, l.invoice, l.sku, reason}
}

var columns = []string{"InvoiceNo", "StockCode", "Description", "Quantity", "UnitPrice", "CustomerID"}

// readFile reads an export whose first line names the columns, in any order and
// among others. An invalid line is rejected. An error means that the file as a whole
// cannot be read.
func readFile(r io.Reader) (lines []line, bad []rejected, err error) {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = -1
	header, err := rows.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("the header: %w", err)
	}
	at, err := locate(header)
	if err != nil {
		return nil, nil, err
	}
	for {
		row, err := rows.Read()
		var malformed *csv.ParseError
		switch {
		case err == io.EOF:
			return lines, bad, nil
		case errors.As(err, &malformed):
			bad = append(bad, rejected{number: malformed.StartLine, reason: "is not CSV"})
			continue
		case err != nil:
			return nil, nil, err
		}
		number, _ := rows.FieldPos(0)
		if len(row) != len(header) {
			bad = append(bad, rejected{number: number, reason: "has another number of fields than the header"})
			continue
		}
		l := line{number: number, invoice: row[at[0]], sku: row[at[1]], name: strings.ToValidUTF8(strings.TrimSpace(row[at[2]]), "?"), customer: row[at[5]]}
		if err := l.readNumbers(row[at[3]], row[at[4]]); err != nil {
			bad = append(bad, l.rejected(err.Error()))
			continue
		}
		lines = append(lines, l)
	}
}

// locate returns the index of each of columns.
func locate(header []string) ([]int, error) {
	where := map[string]int{}
	for i, name := range header {
		where[strings.TrimPrefix(strings.TrimSpace(name), "\ufeff")] = i
	}
	at := make([]int, len(columns))
	for i, name := range columns {
		place, ok := where[name]
		if !ok {
			return nil, fmt.Errorf("the file has no column %s", name)
		}
		at[i] = place
	}
	return at, nil
}

func (l *line) readNumbers(quantity, price string) (err error) {
	if l.quantity, err = strconv.ParseInt(quantity, 10, 32); err != nil {
		return errors.New("has a quantity that is not a whole number")
	}
	l.price, err = pence(price)
	return err
}

// pence reads pounds exactly: "2.1" is 210. Money never passes through a
// floating-point number.
func pence(s string) (int64, error) {
	wrong := errors.New("has a price that is not pounds and whole pence")
	digits, negative := strings.CutPrefix(s, "-")
	pounds, rest, _ := strings.Cut(digits, ".")
	rest = strings.TrimRight(rest, "0")
	if len(rest) > 2 || len(pounds) > 11 || !allDigits(pounds+rest) || digits == "" {
		return 0, wrong
	}
	n, err := strconv.ParseInt(pounds+rest+"00"[len(rest):], 10, 64)
	if err != nil {
		return 0, wrong
	}
	if negative {
		n = -n
	}
	return n, nil
}

func allDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
