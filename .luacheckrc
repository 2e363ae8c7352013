-- The store's scripts: Lua 5.1 as Redis runs it
std = "lua51"
read_globals = {"redis", "cjson", "KEYS", "ARGV"}
max_line_length = 120
