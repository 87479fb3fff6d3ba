// Checks what bzzz writes with Go's golang.org/x/mod/sumdb, for tools/check-tlog:
//
//	check VKEY checkpoint FILE | proof FILE | witness OLD BODY | tiles DIR
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func read(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		log.Fatal(err)
	}
	return data
}

func hash(text string) (h tlog.Hash) {
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != 32 {
		log.Fatalf("%q is no hash", text)
	}
	copy(h[:], data)
	return
}

type dir string

func (d dir) Height() int { return 8 }
func (d dir) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, t := range tiles {
		// x/mod's paths name the height, which is 8 in c2sp.org/tlog-tiles.
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(d), path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}
func (d dir) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	if err != nil {
		log.Fatal("vkey: ", err)
	}
	open := func(data []byte) (int64, tlog.Hash) {
		n, err := note.Open(data, note.VerifierList(verifier))
		if err != nil {
			log.Fatal("note: ", err)
		}
		lines := strings.Split(n.Text, "\n")
		if lines[0] != verifier.Name() {
			log.Fatal("origin")
		}
		size, err := strconv.ParseInt(lines[1], 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		return size, hash(lines[2])
	}
	switch os.Args[2] {
	case "checkpoint":
		size, root := open(read(os.Args[3]))
		fmt.Println("note.Open: ok, size", size, "root", root)
	case "proof":
		data := read(os.Args[3])
		head, rest, _ := bytes.Cut(data, []byte("\n\n"))
		size, root := open(rest)
		lines := strings.Split(string(head), "\n")
		record, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
		header := record[3 : 3+int(binary.LittleEndian.Uint16(record))]
		index, _ := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
		var path tlog.RecordProof
		for _, line := range lines[3:] {
			path = append(path, hash(line))
		}
		err := tlog.CheckRecord(path, size, root, index, tlog.RecordHash(header))
		if err != nil {
			log.Fatal("tlog.CheckRecord: ", err)
		}
		fmt.Println("tlog.CheckRecord: ok,", index, "of", size)
	case "witness":
		oldSize, oldRoot := open(read(os.Args[3]))
		head, rest, _ := bytes.Cut(read(os.Args[4]), []byte("\n\n"))
		size, root := open(rest)
		lines := strings.Split(string(head), "\n")
		if lines[0] != fmt.Sprint("old ", oldSize) {
			log.Fatal("old size: ", lines[0])
		}
		var path tlog.TreeProof
		for _, line := range lines[1:] {
			path = append(path, hash(line))
		}
		if err := tlog.CheckTree(path, size, root, oldSize, oldRoot); err != nil {
			log.Fatal("tlog.CheckTree: ", err)
		}
		fmt.Println("tlog.CheckTree: ok, from", oldSize, "to", size)
	case "tiles":
		d := os.Args[3]
		size, root := open(read(filepath.Join(d, "checkpoint")))
		reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, dir(d))
		var leaves []tlog.Hash
		for n := int64(0); n*256 < size; n++ {
			width := size - n*256
			if width > 256 {
				width = 256
			}
			path := strings.Replace(tlog.Tile{H: 8, L: -1, N: n, W: int(width)}.Path(), "tile/8/data/", "tile/entries/", 1)
			entries := read(filepath.Join(d, path))
			for len(entries) > 0 {
				length := int(binary.BigEndian.Uint16(entries))
				leaves = append(leaves, tlog.RecordHash(entries[2:2+length]))
				entries = entries[2+length:]
			}
		}
		if int64(len(leaves)) != size {
			log.Fatal("entries: ", len(leaves), " of ", size)
		}
		indexes := make([]int64, size)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, int64(i))
		}
		// Every tile is verified against the root by the reader.
		found, err := reader.ReadHashes(indexes)
		if err != nil {
			log.Fatal("tlog.TileHashReader: ", err)
		}
		for i := range leaves {
			if found[i] != leaves[i] {
				log.Fatal("entry ", i)
			}
		}
		fmt.Println("tlog.TileHashReader: ok, all", size, "entries")
	}
}
