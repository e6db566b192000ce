/* A function that no library has: abi.exported_symbols_too_few must miss it. */
QUERN_API quern_status quern_undefined(void);
